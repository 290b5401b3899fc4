package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// scalar decodes a single value.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, at place) {
	if n.Kind != yaml.ScalarNode || !plainTags[n.ShortTag()] {
		d.problem(at, "is %s; write %s", kindOf(n), wanted(v.Type()))
		return
	}
	text := n.Value
	var err error
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		err = setDuration(v, text)
	case v.Addr().Type().Implements(textUnmarshaler):
		err = setText(v, text)
	case v.Kind() == reflect.String:
		err = setString(v, n)
	case v.Kind() == reflect.Bool:
		err = setBool(v, text)
	default:
		err = setNumber(v, n)
	}
	if err != nil {
		d.problem(at, "is %s%v", quote(at, text), err)
	}
}

var plainTags = map[string]bool{"!!str": true, "!!int": true, "!!float": true, "!!bool": true, "!!timestamp": true}

// The errors of what follows go on after the value: ", which is no ...; write ...".

func setText(v reflect.Value, text string) error {
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
		return fmt.Errorf(": %w", err)
	}
	return nil
}

// setString takes text alone: a number or a date would not come out as it was written in every case (0x10, 1_000).
func setString(v reflect.Value, n *yaml.Node) error {
	if n.ShortTag() != "!!str" {
		return fmt.Errorf(", which is %s; to mean it as text, put it in quotes", kindOf(n))
	}
	v.SetString(n.Value)
	return nil
}

// setBool knows the words of YAML 1.1, which the Agent 5 went by, and 1 and 0 as its environment variables did.
func setBool(v reflect.Value, text string) error {
	switch strings.ToLower(text) {
	case "true", "yes", "on", "1":
		v.SetBool(true)
	case "false", "no", "off", "0":
		v.SetBool(false)
	default:
		return errors.New("; write true or false")
	}
	return nil
}

// setDuration takes a number of seconds, which may have a fraction, or a duration as Go writes it.
func setDuration(v reflect.Value, text string) error {
	duration, err := time.ParseDuration(text)
	if seconds, e := strconv.ParseFloat(text, 64); e == nil {
		if math.IsNaN(seconds) || math.Abs(seconds) > maxSeconds {
			return errors.New(", which is no time; write seconds, such as 5 or 0.5")
		}
		duration, err = time.Duration(math.Round(seconds*1e9)), nil
	}
	if err != nil {
		return errors.New(", which is no time; write seconds, such as 5 or 0.5, or a duration, such as 500ms or 1m30s")
	}
	v.SetInt(int64(duration))
	return nil
}

// maxSeconds keeps a duration clear of what fits into one, and exact in a float64.
const maxSeconds = 1e6

func setNumber(v reflect.Value, n *yaml.Node) error {
	target := v.Addr().Interface()
	if tag := n.ShortTag(); tag != "!!int" && (tag != "!!float" || !v.CanFloat()) || n.Decode(target) != nil {
		return fmt.Errorf("; write %s", wanted(v.Type()))
	}
	return nil
}

// wanted says what to write for a value of the type.
func wanted(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "a number of seconds"
	case reflect.PointerTo(t).Implements(textUnmarshaler):
		return "a single value"
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("a whole number from 0 to %d", uint64(math.MaxUint64)>>(64-t.Bits()))
	default:
		return fmt.Sprintf("a whole number up to %d", int64(math.MaxInt64)>>(64-t.Bits()))
	}
}
