package port

import (
	"net"
	"sync"
	"testing"
)

func TestTakeGivesEachPortOnce(t *testing.T) {
	var seen sync.Map
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 20 {
				p, err := Take()
				if err != nil {
					t.Error(err)
					return
				}
				if _, again := seen.LoadOrStore(p, true); again {
					t.Errorf("port %d was given twice", p)
				}
			}
		})
	}
	wg.Wait()
	seen.Range(func(p, _ any) bool { Give(p.(int)); return true })
}

func TestTakeAvoidsWhatIsInUse(t *testing.T) {
	p, err := Take()
	if err != nil {
		t.Fatal(err)
	}
	defer Give(p)
	l, err := net.Listen("tcp", Address(p))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if free(p) {
		t.Errorf("port %d is in use", p)
	}
}
