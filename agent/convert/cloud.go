package convert

import (
	"encoding/base64"
	"net"
	"strings"
)

// cloud sets the URL that the id of a deployment in Elastic's cloud stands for.
func (c *conversion) cloud(d *draft, id text) {
	url, ok := cloudURL(id.value)
	if !ok || len(id.variables) > 0 {
		d.comment(c.lack(id.place, "the deployment has a URL too; write url, as its page shows it"))
		return
	}
	d.keys.set(id.place, "url", word(url))
}

// cloudURL reads name:base64(host[:port]$elasticsearch$kibana).
func cloudURL(id string) (string, bool) {
	_, encoded, _ := strings.Cut(id, ":")
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", false
	}
	parts := strings.Split(string(decoded), "$")
	if len(parts) < 2 || parts[0] == "" || parts[1] == "" {
		return "", false
	}
	host, port, err := net.SplitHostPort(parts[0])
	if err != nil {
		host, port = parts[0], "443"
	}
	return "https://" + net.JoinHostPort(parts[1]+"."+host, port), true
}
