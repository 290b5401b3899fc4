package convert

import (
	"net"
	"regexp"
	"slices"
	"strings"

	"github.com/eventbaton/baton/agent/config"
)

// keeType is a type of receivers. One without convert has no equal, and instead says what to do.
type keeType struct {
	key, instead string
	convert      func(k *keeReceiver, o *object)
}

// keeTypes are in the order in which the exporter looks for them: the first that stands in a receiver counts.
var keeTypes = []keeType{
	{key: "inMemory", instead: "it was for tests"},
	{key: "pipe", convert: (*keeReceiver).pipe},
	{key: "webhook", convert: (*keeReceiver).webhook},
	{key: "file", convert: (*keeReceiver).file},
	{key: "syslog", instead: "write to stdout for what ships the logs of pods, or to a Collector (otlp) with its syslog exporter"},
	{key: "stdout", convert: (*keeReceiver).stdout},
	{key: "elasticsearch", convert: (*keeReceiver).elasticsearch},
	{key: "kinesis", instead: keeCloud},
	{key: "firehose", instead: keeCloud},
	{key: "opensearch", convert: (*keeReceiver).elasticsearch},
	{key: "opsgenie", instead: "send to a webhook of what turns records into alerts"},
	{key: "sqs", instead: keeCloud},
	{key: "sns", instead: keeCloud},
	{key: "slack", convert: (*keeReceiver).slack},
	{key: "kafka", convert: (*keeReceiver).kafka},
	{key: "pubsub", instead: keeCloud},
	{key: "opscenter", instead: keeCloud},
	{key: "teams", convert: (*keeReceiver).teams},
	{key: "bigquery", instead: keeCloud},
	{key: "eventbridge", instead: keeCloud},
	{key: "loki", convert: (*keeReceiver).loki},
	{key: "prometheus", instead: "a sink of type metrics counts events, with labels of its own"},
}

const keeCloud = "send to an OpenTelemetry Collector (otlp) that has an exporter for it, or to a webhook (cloudevents) before it"

// keeReceiver is one receiver that becomes a sink.
type keeReceiver struct {
	*conversion
	receiver *object
	name     string
	path     path
	draft    *draft
}

func (c *conversion) keeReceivers(receivers []*object, routes *keeRoutes) {
	known := map[string]bool{}
	for _, r := range receivers {
		name := r.text("name")
		switch {
		case !name.set():
			c.problem(name.place, "is missing; write the name by which a route calls the receiver")
			continue
		case known[name.value]:
			c.problem(name.place, "is %q, the name of another receiver; rename one", shown(name.value))
			continue
		}
		known[name.value] = true
		reached, ok := routes.reached[name.value]
		if !ok {
			reached.condition = no
		}
		c.keeReceiver(&keeReceiver{conversion: c, receiver: r, name: name.value, path: reached})
	}
	for _, name := range routes.named {
		if !known[name.value] {
			c.header = append(c.header, c.note(name.place, "is the name of no receiver; nothing was sent there, and nothing is"))
		}
	}
}

func (c *conversion) keeReceiver(k *keeReceiver) {
	i := slices.IndexFunc(keeTypes, func(t keeType) bool { return k.receiver.has(t.key) })
	if i < 0 {
		c.problem(k.receiver.place, "has no type; write one, such as stdout: {}")
		return
	}
	t := keeTypes[i]
	at := k.receiver.get(t.key).place
	switch {
	case t.convert == nil:
		k.begin("")
		k.draft.comment(c.lack(at, "%s", t.instead))
		if k.path.op != never {
			k.draft.comment("Its filter would be: " + k.path.text)
		}
	case k.path.op == never:
		k.begin("")
		k.draft.comment(c.note(at, "no event ever reaches this receiver, so that there is no sink for it"))
	default:
		t.convert(k, k.receiver.object(t.key))
	}
	k.draft.comment(c.leftovers(k.receiver)...)
}

// begin begins the sink.
func (k *keeReceiver) begin(kind string) {
	k.draft = k.sink(k.receiver.place, k.name, kind, "Receiver "+shown(k.name)+".")
	k.draft.filter = k.path.condition
	k.draft.comment(k.path.comments...)
}

// end says what of the type's keys has no equal.
func (k *keeReceiver) end(o *object) {
	if updates := o.get("sentUpdateEvent"); !updates.empty() && !o.isTrue("sentUpdateEvent") {
		k.draft.keys.set(updates.place, "repeats", word(config.RepeatsFirst))
	}
	if layout := o.get("layout"); !layout.empty() {
		k.draft.comment(k.lack(layout.place, "a record has one form, see docs/record.md; let the receiver pick from it"))
	}
	if o.isTrue("deDot") && k.draft.kind != "elasticsearch" { // which does so by itself
		k.draft.comment(k.lack(o.get("deDot").place, "labels and annotations that enrich adds have their own names"))
	}
	k.draft.comment(k.leftovers(o)...)
}

func (k *keeReceiver) stdout(o *object) {
	k.begin("stdout")
	k.end(o)
}

func (k *keeReceiver) pipe(o *object) { k.file(o) }

func (k *keeReceiver) file(o *object) {
	path := o.text("path")
	if path.value == "/dev/stdout" {
		k.begin("stdout")
		k.end(o)
		return
	}
	k.begin("file")
	k.setPlain(k.draft, "path", path)
	if size := o.number("maxsize"); size > 0 {
		k.draft.keys.set(o.get("maxsize").place, "max_file_bytes", number(size<<20))
	}
	if backups := o.number("maxbackups"); backups > 0 {
		k.draft.keys.set(o.get("maxbackups").place, "max_files", number(backups+1))
	}
	k.end(o)
}

func (k *keeReceiver) webhook(o *object) {
	k.begin("webhook")
	k.url(k.draft, o.text("endpoint"))
	k.headers(k.draft, o.object("headers"), "")
	k.tls(o.object("tls"))
	k.draft.keys.set(o.place, "max_batch_records", number(1),
		"One record a request, as before. Without these two keys it is an array of many, which is faster.")
	k.draft.keys.set(o.place, "format", word("ndjson"))
	k.end(o)
}

func (k *keeReceiver) elasticsearch(o *object) {
	k.begin("elasticsearch")
	k.hosts(o)
	username, password, key := o.text("username"), o.text("password"), o.text("apiKey")
	if !k.secretIfSet(k.draft, key, "api_key_file", "api-key") {
		k.basicAuth(k.draft, username, password)
	}
	k.headers(k.draft, o.object("headers"), "")
	k.tls(o.object("tls"))
	k.index(o.text("index"), o.text("indexFormat"))
	if o.isTrue("useEventID") {
		k.draft.comment(k.lack(o.get("useEventID").place, "a document is one version of an event, and its _id is the record's id"))
	}
	k.end(o)
}

func (k *keeReceiver) hosts(o *object) {
	if cloud := o.text("cloudID"); cloud.set() {
		k.cloud(k.draft, cloud)
	}
	for i, host := range o.texts("hosts") {
		if i == 0 {
			k.url(k.draft, host)
		} else {
			k.draft.comment(k.lack(host.place, "a sink has one URL; name a load balancer, or leave it to the first node"))
		}
	}
}

// index carries the index over: an indexFormat has a layout of Go's package time in braces.
func (k *keeReceiver) index(index, format text) {
	if !format.set() {
		k.setPlain(k.draft, "index", index)
		return
	}
	before, rest, _ := strings.Cut(format.value, "{")
	layout, after, ok := cutLast(rest, "}")
	converted, plain := dateUnits(layout)
	if !ok && strings.Contains(format.value, "{") || !plain || len(format.variables) > 0 || strings.ContainsAny(before+after, "{}%") {
		k.draft.comment(k.lack(format.place, "an index has %%Y, %%m, %%d and %%H in it, which this can't be written with"))
		return
	}
	k.draft.keys.set(format.place, "index", word(before+converted+after))
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// goDate is what has a meaning in a layout of Go's package time.
var goDate = regexp.MustCompile(`[A-Za-z]{3,}|[0-9]+|MST|Z07`)

var dateUnit = map[string]string{"2006": "%Y", "01": "%m", "02": "%d", "15": "%H"}

// dateUnits turns a layout of Go's package time into the units of an index, false where it has others.
func dateUnits(layout string) (string, bool) {
	plain := true
	out := goDate.ReplaceAllStringFunc(layout, func(part string) string {
		var b strings.Builder
		for rest := part; rest != ""; {
			n := 2
			if strings.HasPrefix(rest, "2006") {
				n = 4
			}
			unit, ok := dateUnit[rest[:min(n, len(rest))]]
			if !ok {
				plain = false
				return part
			}
			b.WriteString(unit)
			rest = rest[n:]
		}
		return b.String()
	})
	return out, plain
}

func (k *keeReceiver) loki(o *object) {
	k.begin("loki")
	k.url(k.draft, o.text("url"))
	k.headers(k.draft, o.object("headers"), "X-Scope-Orgid")
	k.tls(o.object("tls"))
	k.draft.keys.set(o.place, "labels", words(nil),
		"A stream has no labels but these, as before. Without this key it has cluster, namespace and type too.")
	for _, label := range o.object("streamLabels").pairs() {
		value, comments := k.plain(label.text)
		k.draft.keys.setPath(label.place, []string{"static_labels", label.name}, word(value), comments...)
	}
	k.draft.keys.set(o.place, "line", word("json"))
	k.end(o)
}

func (k *keeReceiver) kafka(o *object) {
	k.begin("kafka")
	k.brokers(o.texts("brokers"))
	k.setPlain(k.draft, "topic", o.text("topic"))
	codec := o.text("compressionCodec")
	k.draft.keys.set(codec.place, "compression", word("none"))
	if slices.Contains([]string{"gzip", "snappy", "lz4", "zstd"}, codec.value) {
		k.draft.keys.set(codec.place, "compression", word(codec.value))
	}
	if tls := o.object("tls"); tls.isTrue("enable") {
		k.draft.keys.set(tls.get("enable").place, "use_tls", truth(true))
		k.tls(tls)
	} else {
		_ = tls.pairs() // which had no effect
	}
	if sasl := o.object("sasl"); sasl.isTrue("enable") {
		k.sasl(sasl)
	} else {
		_ = sasl.pairs()
	}
	k.end(o)
}

func (c *conversion) brokersOf(d *draft, brokers []text) {
	var list []string
	var comments []string
	for _, b := range brokers {
		value, more := c.plain(b)
		comments = append(comments, more...)
		if _, _, err := net.SplitHostPort(value); err != nil && value != "" && !strings.Contains(value, ":") {
			value += ":9092"
		}
		list = append(list, value)
	}
	if len(brokers) > 0 {
		d.keys.set(brokers[0].place, "brokers", words(list), comments...)
	}
}

func (k *keeReceiver) brokers(brokers []text) { k.brokersOf(k.draft, brokers) }

var keeMechanisms = map[string]string{
	"": "PLAIN", "plain": "PLAIN", "sha256": "SCRAM-SHA-256", "sha512": "SCRAM-SHA-512",
}

func (k *keeReceiver) sasl(o *object) {
	mechanism := o.text("mechanism")
	known, ok := keeMechanisms[strings.ToLower(mechanism.value)]
	if !ok {
		known = mechanism.value
	}
	k.draft.keys.set(mechanism.place, "sasl.mechanism", word(known))
	k.setPlain(k.draft, "sasl.username", o.text("username"))
	k.secret(k.draft, o.text("password"), "sasl.password_file", "password")
	k.draft.comment(k.leftovers(o)...)
}

func (k *keeReceiver) slack(o *object) {
	k.begin("slack")
	token, channel := o.text("token"), o.text("channel")
	k.draft.keys.set(token.place, "url_file", word(secretsFolder+k.draft.name+"-url"), k.note(token.place,
		"a sink posts to an incoming webhook, which has its channel (it was %s): make one, and put its URL into this file",
		shown(channel.value)))
	k.template(o.text("message"))
	for _, key := range []string{"title", "fields", "color", "footer", "author_name"} {
		if v := o.get(key); !v.empty() {
			k.draft.comment(k.lack(v.place, "a message is lines of text; what matters of it belongs in template"))
		}
	}
	k.end(o)
}

// template carries a message's template over, as far as it can be.
func (k *keeReceiver) template(t text) {
	if !t.set() {
		return
	}
	converted, err := keeTemplate(t.value)
	switch {
	case len(t.variables) > 0:
		k.draft.comment(k.lack(t.place, "a template has no variables of the environment; the default one serves"))
	case err != nil:
		k.draft.comment(k.lack(t.place, "%v; the default template serves", err))
	default:
		k.draft.keys.set(t.place, "template", word(converted))
	}
}

func (k *keeReceiver) teams(o *object) {
	k.begin("slack")
	k.draft.keys.set(o.place, "format", word("teams"))
	endpoint := o.text("endpoint")
	k.secret(k.draft, endpoint, "url_file", "url")
	for _, h := range o.object("headers").pairs() {
		k.draft.comment(k.lack(h.place, "a message is sent without headers of one's own"))
	}
	k.end(o)
}

// tls carries over what the types of receivers have in common.
func (k *keeReceiver) tls(o *object) {
	if o.isTrue("insecureSkipVerify") {
		k.draft.keys.set(o.get("insecureSkipVerify").place, "tls.insecure_skip_verify", truth(true))
	}
	k.setPlain(k.draft, "tls.server_name", o.text("serverName"))
	k.setPlain(k.draft, "tls.ca_file", o.text("caFile"))
	k.setPlain(k.draft, "tls.cert_file", o.text("certFile"))
	k.setPlain(k.draft, "tls.key_file", o.text("keyFile"))
	k.draft.comment(k.leftovers(o)...)
}
