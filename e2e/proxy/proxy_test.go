package proxy

import (
	"bufio"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo answers each line with itself.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				for {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					_, _ = c.Write([]byte(line))
				}
			}()
		}
	}()
	return l.Addr().String()
}

func start(t *testing.T) *Proxy {
	t.Helper()
	p, err := Listen(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func say(c net.Conn, within time.Duration) error {
	if _, err := c.Write([]byte("hello\n")); err != nil {
		return err
	}
	return hear(c, within)
}

func hear(c net.Conn, within time.Duration) error {
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err := bufio.NewReader(c).ReadString('\n')
	return err
}

// ask connects and says something. The proxy may have ended the connection before it is known to be made.
func ask(p *Proxy) error {
	c, err := net.Dial("tcp", p.Address())
	if err != nil {
		return err
	}
	defer c.Close()
	return say(c, time.Minute)
}

func TestCut(t *testing.T) {
	p := start(t)
	c := dial(t, p)
	if err := say(c, time.Minute); err != nil {
		t.Fatal(err)
	}
	p.Cut()
	if say(c, time.Minute) == nil || ask(p) == nil {
		t.Error("a cut proxy answers")
	}
	p.Heal()
	if err := say(dial(t, p), time.Minute); err != nil {
		t.Error("healed:", err)
	}
}

func TestFreeze(t *testing.T) {
	p := start(t)
	old := dial(t, p)
	if err := say(old, time.Minute); err != nil {
		t.Fatal(err)
	}
	p.Freeze()
	young := dial(t, p)
	if say(old, 100*time.Millisecond) == nil || say(young, 100*time.Millisecond) == nil {
		t.Error("a frozen proxy answers")
	}
	p.Heal()
	if err := hear(old, time.Minute); err != nil {
		t.Error("healed, an old connection:", err)
	}
	if err := hear(young, time.Minute); err != nil {
		t.Error("healed, a new connection:", err)
	}
}

func TestCloseWhileFrozen(t *testing.T) {
	p := start(t)
	_ = say(dial(t, p), time.Minute)
	p.Freeze()
	_ = say(dial(t, p), 10*time.Millisecond)
}
