package sink

import (
	"errors"
	"strconv"
	"time"
)

// Duration is a time.Duration in kubernetes.yaml: "1m30s", "500ms", or a plain number of seconds.
type Duration time.Duration

// UnmarshalText takes what Duration says.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	if _, err := strconv.Atoi(s); err == nil {
		s += "s"
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return errors.New(`not a duration; write it as "10s", "500ms" or a number of seconds`)
	}
	*d = Duration(v)
	return nil
}

// MarshalText gives "10s", for the reference.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d Duration) String() string { return time.Duration(d).String() }
