package convert

import (
	"slices"
	"strings"
)

// exporterTypes are those that have an equal, with the type of its sink.
var exporterTypes = map[string]struct {
	kind    string
	convert func(e *exporter)
}{
	"otlp":          {"otlp", (*exporter).otlp},
	"otlp_grpc":     {"otlp", (*exporter).otlp},
	"otlphttp":      {"otlp", (*exporter).otlpHTTP},
	"otlp_http":     {"otlp", (*exporter).otlpHTTP},
	"elasticsearch": {"elasticsearch", (*exporter).elasticsearch},
	"loki":          {"loki", (*exporter).loki},
	"kafka":         {"kafka", (*exporter).kafka},
	"file":          {"file", (*exporter).file},
	"debug":         {"stdout", (*exporter).debug},
	"logging":       {"stdout", (*exporter).debug},
	"datadog":       {"datadog", (*exporter).datadog},
}

// exporter is one exporter that becomes a sink.
type exporter struct {
	*collector
	*draft
	o *object
}

// exporter writes the sink of an exporter.
func (o *collector) exporter(id string) {
	if !o.exporters.has(id) {
		return
	}
	e := &exporter{collector: o, o: o.exporters.object(id)}
	at := e.o.place
	known, ok := exporterTypes[typeOf(id)]
	if !ok {
		e.draft = o.sink(at, id, "")
		e.comment(o.lack(at, "leave it to the Collector: give that an otlp receiver, and send to it from here (type: otlp)"))
		return
	}
	e.draft = o.sink(at, id, known.kind, "Exporter "+shown(id)+".")
	e.filter = o.reached[id]
	known.convert(e)
	for _, key := range []string{"sending_queue", "retry_on_failure"} {
		if v := e.o.get(key); !v.empty() {
			e.comment(o.lack(v.place, "what a receiver doesn't take is sent again until it does, and waits in the API server"))
		}
	}
	e.comment(o.leftovers(e.o)...)
}

// http carries over what the exporters that speak HTTP or gRPC have in common.
func (e *exporter) http(tenant string) {
	e.headers(e.draft, e.o.object("headers"), tenant)
	e.tls(e.o.object("tls"))
	e.auth(e.o.object("auth"))
	e.setPlain(e.draft, "timeout", e.o.text("timeout"))
	e.setPlain(e.draft, "proxy_url", e.o.text("proxy_url"))
	switch compression := e.o.text("compression"); compression.value {
	case "", "gzip":
	case "none":
		e.keys.set(compression.place, "gzip", truth(false))
	default:
		e.comment(e.lack(compression.place, "bodies are compressed with gzip, or not at all"))
	}
}

func (e *exporter) tls(o *object) {
	o.get("insecure") // is in the URL
	if o.isTrue("insecure_skip_verify") {
		e.keys.set(o.get("insecure_skip_verify").place, "tls.insecure_skip_verify", truth(true))
	}
	e.setPlain(e.draft, "tls.server_name", o.text("server_name_override"))
	e.setPlain(e.draft, "tls.ca_file", o.text("ca_file"))
	e.setPlain(e.draft, "tls.cert_file", o.text("cert_file"))
	e.setPlain(e.draft, "tls.key_file", o.text("key_file"))
	e.comment(e.leftovers(o)...)
}

// auth follows the name of an extension that authenticates.
func (e *exporter) auth(o *object) {
	id := o.text("authenticator")
	if !id.set() {
		return
	}
	extension := e.extensions.object(id.value)
	switch typeOf(id.value) {
	case "bearertokenauth":
		if file := extension.text("filename"); file.set() {
			e.setPlain(e.draft, "bearer_token_file", file)
		} else {
			e.secret(e.draft, extension.text("token"), "bearer_token_file", "token")
		}
	case "basicauth":
		client := extension.object("client_auth")
		e.basicAuth(e.draft, client.text("username"), client.text("password"))
		e.comment(e.leftovers(client)...)
	default:
		e.comment(e.lack(id.place, "there are bearer_token_file, basic_auth and header_files"))
		return
	}
	e.comment(e.leftovers(extension)...)
}

func (e *exporter) otlp() {
	endpoint := e.o.text("endpoint")
	endpoint.value = strings.TrimPrefix(strings.TrimPrefix(endpoint.value, "dns:///"), "dns://")
	if endpoint.set() && !strings.Contains(endpoint.value, "://") && len(endpoint.variables) == 0 {
		scheme := "https://"
		if e.o.object("tls").isTrue("insecure") {
			scheme = "http://"
		}
		endpoint.value = scheme + endpoint.value
	}
	e.url(e.draft, endpoint)
	e.http("")
}

func (e *exporter) otlpHTTP() {
	e.keys.set(e.o.place, "protocol", word("http"))
	endpoint, logs := e.o.text("endpoint"), e.o.text("logs_endpoint")
	if logs.set() {
		endpoint = logs
	}
	e.url(e.draft, endpoint)
	if encoding := e.o.text("encoding"); encoding.value == "json" {
		e.comment(e.lack(encoding.place, "OTLP is sent as protobuf, which every receiver of OTLP takes"))
	}
	e.http("")
}

func (e *exporter) elasticsearch() {
	endpoints := e.o.texts("endpoints")
	if endpoint := e.o.text("endpoint"); endpoint.set() {
		endpoints = slices.Insert(endpoints, 0, endpoint)
	}
	for i, endpoint := range endpoints {
		if i == 0 {
			e.url(e.draft, endpoint)
		} else {
			e.comment(e.lack(endpoint.place, "a sink has one URL; name a load balancer, or leave it to the first node"))
		}
	}
	if cloud := e.o.text("cloudid"); cloud.set() {
		e.cloud(e.draft, cloud)
	}
	user, password := e.o.text("user"), e.o.text("password")
	if !e.secretIfSet(e.draft, e.o.text("api_key"), "api_key_file", "api-key") {
		e.basicAuth(e.draft, user, password)
	}
	e.setPlain(e.draft, "index", e.o.text("logs_index"))
	e.setPlain(e.draft, "pipeline", e.o.text("pipeline"))
	e.http("")
}

func (e *exporter) loki() {
	e.url(e.draft, e.o.text("endpoint"))
	e.http("X-Scope-Orgid")
}

func (e *exporter) file() {
	e.setPlain(e.draft, "path", e.o.text("path"))
	if format := e.o.text("format"); format.set() && format.value != "json" {
		e.comment(e.lack(format.place, "a file has a record in JSON a line"))
	}
	rotation := e.o.object("rotation")
	if size := rotation.number("max_megabytes"); size > 0 {
		e.keys.set(rotation.get("max_megabytes").place, "max_file_bytes", number(size<<20))
	}
	if backups := rotation.number("max_backups"); backups > 0 {
		e.keys.set(rotation.get("max_backups").place, "max_files", number(backups+1))
	}
	e.o.isTrue("append") // a file is always appended to
	e.comment(e.leftovers(rotation)...)
}

func (e *exporter) debug() {
	for _, f := range e.o.fields {
		e.o.get(f.name) // how much of a record it shows: all
	}
}

func (e *exporter) datadog() {
	api := e.o.object("api")
	e.secret(e.draft, api.text("key"), "api_key_file", "api-key")
	e.setPlain(e.draft, "site", api.text("site"))
	e.keys.set(e.o.place, "mode", word("logs"), "As logs, as the Collector sent them. Without this key each is an event of Datadog.")
	e.tls(e.o.object("tls"))
	e.comment(e.leftovers(api)...)
}

func (e *exporter) kafka() {
	brokers := e.o.texts("brokers")
	if len(brokers) == 0 {
		brokers = []text{{place: e.o.place, value: "localhost:9092"}}
	}
	e.brokersOf(e.draft, brokers)
	e.topic()
	e.saslOf(e.o.object("auth"))
	producer := e.o.object("producer")
	compression := producer.text("compression")
	if !compression.set() {
		compression.value = "none"
	}
	e.setPlain(e.draft, "compression", compression)
	if size := producer.number("max_message_bytes"); size > 0 {
		e.keys.set(producer.get("max_message_bytes").place, "max_message_bytes", number(size))
	}
	e.setPlain(e.draft, "timeout", e.o.text("timeout"))
	if tls := e.o.object("tls"); e.o.has("tls") && !tls.isTrue("insecure") {
		e.keys.set(tls.place, "use_tls", truth(true))
		e.tls(tls)
	}
	e.comment(e.leftovers(producer)...)
}

func (e *exporter) topic() {
	logs := e.o.object("logs")
	topic, encoding := logs.text("topic"), logs.text("encoding")
	if !topic.set() {
		topic = e.o.text("topic")
	}
	if !encoding.set() {
		encoding = e.o.text("encoding")
	}
	if !topic.set() {
		topic = text{place: e.o.place, value: "otlp_logs"}
	}
	e.setPlain(e.draft, "topic", topic)
	e.comment(e.lack(encoding.place, "a message is a record in JSON; for otlp_proto send to a Collector (type: otlp) that produces it"))
	e.comment(e.leftovers(logs)...)
}

func (e *exporter) saslOf(auth *object) {
	sasl := auth.object("sasl")
	mechanism := sasl.text("mechanism")
	if !auth.has("sasl") && auth.has("plain_text") {
		sasl = auth.object("plain_text")
		mechanism = text{place: sasl.place, value: "PLAIN"}
	}
	if mechanism.set() {
		e.keys.set(mechanism.place, "sasl.mechanism", word(mechanism.value))
		e.setPlain(e.draft, "sasl.username", sasl.text("username"))
		e.secret(e.draft, sasl.text("password"), "sasl.password_file", "password")
	}
	if auth.has("tls") {
		e.keys.set(auth.get("tls").place, "use_tls", truth(true))
		e.tls(auth.object("tls"))
	}
	e.comment(e.leftovers(sasl)...)
	e.comment(e.leftovers(auth)...)
}
