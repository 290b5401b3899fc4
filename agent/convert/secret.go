package convert

import (
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// secretsFolder is where the chart's documentation mounts a Secret.
const secretsFolder = "/etc/baton/secrets/" //nolint:gosec // a path, and no secret

// secret makes a value a file of its own: key is the one of the sink that names it, what its name begins after the
// sink's.
func (c *conversion) secret(d *draft, t text, key, what string) {
	file := secretsFolder + d.name + "-" + what
	d.keys.set(t.place, key, word(file), c.secretNote(t, file))
}

func (c *conversion) secretNote(t text, file string) string {
	from := "its value"
	if len(t.variables) > 0 {
		from = "the value of the environment's " + strings.Join(t.variables, ", ")
	}
	return c.note(t.place, "is a secret: put %s into %s, such as by a Secret that is mounted there", from, file)
}

// secretIfSet is secret, unless the text is empty.
func (c *conversion) secretIfSet(d *draft, t text, key, what string) bool {
	if t.set() {
		c.secret(d, t, key, what)
	}
	return t.set()
}

// plain gives the value of a text that is no secret. It may not take it from the environment: then it has to be looked at.
func (c *conversion) plain(t text) (string, []string) {
	if len(t.variables) == 0 {
		return t.value, nil
	}
	return t.value, []string{c.lack(t.place,
		"it takes a value of the environment (%s), which this file can't; write the value", strings.Join(t.variables, ", "))}
}

// setPlain sets a key to a text, unless that is empty.
func (c *conversion) setPlain(d *draft, key string, t text) {
	if t.set() {
		value, comments := c.plain(t)
		d.keys.set(t.place, key, word(value), comments...)
	}
}

// url sets url, or url_file where the URL has a secret in it or takes one from the environment.
func (c *conversion) url(d *draft, t text) {
	if len(t.variables) > 0 || secretURL(t.value) {
		c.secret(d, t, "url_file", "url")
		return
	}
	d.keys.setText("url", t)
}

// secretURL says whether who reads the URL may learn a secret from it. A URL that can't be read may be anything.
func secretURL(s string) bool {
	u, err := url.Parse(s)
	return err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" ||
		slices.ContainsFunc(strings.Split(u.Path, "/"), random)
}

// random says whether a part of a path looks as if a program had made it up.
func random(s string) bool {
	const long = 16
	digits := strings.ContainsFunc(s, unicode.IsDigit)
	letters := strings.ContainsFunc(s, unicode.IsLetter)
	upper := strings.ContainsFunc(s, unicode.IsUpper)
	return len(s) >= long && letters && (digits || upper)
}

// secretName are the headers whose values are secrets.
var secretName = regexp.MustCompile(`(?i)(key|token|auth|secret|pass|cookie|credential|session|signature)`)

// ownHeaders are those that a sink sets by itself.
var ownHeaders = []string{"Content-Type", "User-Agent", "Content-Length", "Content-Encoding", "Host"}

// headers carries headers over. Those of tenant become the key tenant, where that is the name of a header.
func (c *conversion) headers(d *draft, o *object, tenant string) {
	for _, h := range o.pairs() {
		name := http.CanonicalHeaderKey(h.name)
		switch {
		case !h.set():
		case slices.Contains(ownHeaders, name):
			d.comment(c.lack(h.place, "the sink sets this header by itself"))
		case name == tenant:
			c.setPlain(d, "tenant", h.text)
		case secretName.MatchString(name) || len(h.variables) > 0 || random(h.value):
			file := secretsFolder + d.name + "-" + strings.ToLower(name)
			d.keys.setPath(h.place, []string{"header_files", h.name}, word(file), c.secretNote(h.text, file))
		case strings.Contains(h.value, "{{"):
			d.comment(c.lack(h.place, "a header has the same value with every record, and no template"))
		default:
			d.keys.setPath(h.place, []string{"headers", h.name}, word(h.value))
		}
	}
}

// basicAuth carries a user and a password over.
func (c *conversion) basicAuth(d *draft, username, password text) {
	if username.set() && password.set() {
		c.setPlain(d, "basic_auth.username", username)
		c.secret(d, password, "basic_auth.password_file", "password")
	}
}

// shellVariables reads $NAME and ${NAME} as os.ExpandEnv does, which the kubernetes-event-exporter passes its file through.
func shellVariables(s string) (string, []string) {
	var names []string
	value := os.Expand(s, func(name string) string {
		if len(name) == 1 && strings.ContainsAny(name, "*#$@!?-0123456789") {
			return "" // no variable of the environment has such a name
		}
		names = append(names, name)
		return "${" + name + "}"
	})
	return value, names
}

// collectorVariable is what the OpenTelemetry Collector puts values in for: ${env:NAME}, ${NAME}, ${file:PATH}, and $$ for $.
var collectorVariable = regexp.MustCompile(`\$\$|\$\{([^}]*)\}`)

func collectorVariables(s string) (string, []string) {
	var names []string
	value := collectorVariable.ReplaceAllStringFunc(s, func(found string) string {
		if found == "$$" {
			return "$"
		}
		name := strings.TrimPrefix(found[2:len(found)-1], "env:")
		name, _, _ = strings.Cut(name, ":-")
		names = append(names, name)
		return "${" + name + "}"
	})
	return value, names
}

func noVariables(s string) (string, []string) { return s, nil }
