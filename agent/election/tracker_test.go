package election

import (
	"math"
	"testing"
	"time"
)

func held(version, holder string, renewals int) Observation {
	return Observation{Exists: true, Readable: true, Version: version, Record: Record{
		Holder: holder, Duration: 10 * time.Second, Renewed: acquired.Add(time.Duration(renewals) * time.Second),
	}}
}

func TestJudge(t *testing.T) {
	const own = 20 * time.Second
	unreadable := Observation{Exists: true, Version: "1", Record: Record{Duration: time.Second}}
	for name, test := range map[string]struct {
		o    Observation
		at   time.Duration
		free bool
		how  Kind
		wait time.Duration
	}{
		"missing":             {Observation{}, 0, true, TakeoverMissing, 0},
		"released":            {held("1", "", 0), 0, true, TakeoverReleased, 0},
		"own":                 {held("1", "me", 0), 0, true, Reclaimed, 0},
		"held":                {held("1", "x", 0), time.Second, false, "", 9 * time.Second},
		"just expired":        {held("1", "x", 0), 10 * time.Second, true, TakeoverExpired, 0},
		"unreadable":          {unreadable, 19 * time.Second, false, "", time.Second},
		"unreadable, expired": {unreadable, own, true, TakeoverExpired, 0},
	} {
		var track tracker
		track.see(test.o, 0, 0)
		v := track.judge("me", own, test.at)
		if v.free != test.free || v.how != test.how || v.wait != test.wait {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if v := (&tracker{}).judge("me", own, time.Hour); v.free || v.wait >= 0 {
		t.Errorf("never seen: %+v", v)
	}
}

// Reads, writes and the watch run side by side.
func TestTrackerDropsWhatWasOvertaken(t *testing.T) {
	var track tracker
	track.see(held("10", "a", 1), 1*time.Second, 2*time.Second)
	steps := []struct {
		name  string
		o     Observation
		asked time.Duration
		now   time.Duration
		want  bool
	}{
		{"older by the watch", held("9", "b", 0), fromWatch, 3 * time.Second, false},
		{"newer by the watch", held("11", "a", 2), fromWatch, 3 * time.Second, true},
		{"a read that was overtaken", held("10", "a", 1), 2 * time.Second, 4 * time.Second, false},
		{"missing, overtaken", Observation{}, 2 * time.Second, 4 * time.Second, false},
		{"the same again", held("11", "a", 2), fromWatch, 5 * time.Second, true},
		{"the log went back", held("5", "b", 0), 6 * time.Second, 7 * time.Second, true},
		{"and goes on there", held("6", "b", 1), fromWatch, 8 * time.Second, true},
		{"deleted", Observation{Version: "7"}, fromWatch, 9 * time.Second, true},
		{"before the deletion", held("6", "b", 1), 8 * time.Second, 9 * time.Second, false},
		{"missing", Observation{}, 10 * time.Second, 11 * time.Second, true},
		{"from before that", held("6", "b", 1), fromWatch, 12 * time.Second, false},
		{"created again", held("8", "c", 1), fromWatch, 12 * time.Second, true},
	}
	for _, s := range steps {
		if got := track.see(s.o, s.asked, s.now); got != s.want {
			t.Errorf("%s: taken %v, want %v", s.name, got, s.want)
		}
	}
}

func TestOnlyARecordsChangeCounts(t *testing.T) {
	var track tracker
	track.see(held("1", "a", 1), 0, 0)
	track.see(held("2", "a", 1), fromWatch, 5*time.Second) // labelled
	if track.changed != 0 {
		t.Errorf("changed at %v", track.changed)
	}
	track.see(held("3", "a", 2), fromWatch, 6*time.Second)
	if track.changed != 6*time.Second {
		t.Errorf("changed at %v", track.changed)
	}
}

func TestSpread(t *testing.T) {
	if spread(0) != 0 {
		t.Errorf("spread(0) = %v", spread(0))
	}
	if got := spread(math.Nextafter(1, 0)); got > 500*time.Millisecond || got < 499*time.Millisecond {
		t.Errorf("spread(1-) = %v", got)
	}
	const n, propagation = 1000, 50 * time.Millisecond
	early, first := 0, spread(1.0/n)
	for i := range n {
		if spread((float64(i)+0.5)/n) < first+propagation {
			early++
		}
	}
	if early > 10 {
		t.Errorf("%d of %d write before they can know", early, n)
	}
}

func TestBackoffIsJitteredAndBounded(t *testing.T) {
	b := &backoff{first: time.Second, longest: 5 * time.Second, rand: func() float64 { return 0.5 }}
	for i, want := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 2500 * time.Millisecond} {
		if got := b.next(); got != want {
			t.Errorf("wait %d: %v, want %v", i, got, want)
		}
	}
	for range 100 {
		if got := b.next(); got != 2500*time.Millisecond {
			t.Fatalf("%v", got)
		}
	}
	b.reset()
	if got := b.next(); got != 500*time.Millisecond {
		t.Errorf("after reset: %v", got)
	}
}
