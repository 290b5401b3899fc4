package main

import (
	"strings"
	"testing"

	"github.com/coredns/caddy"
	"github.com/coredns/caddy/caddyfile"
)

// corefile has every directive that the one of kubeadm has.
const corefile = `.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload
    loadbalance
}
`

func TestCorefileOfKubeadm(t *testing.T) {
	blocks, err := caddyfile.Parse("Corefile", strings.NewReader(corefile), directives)
	if err != nil {
		t.Fatal(err)
	}
	if len(blocks) != 1 || len(blocks[0].Tokens) != len(directives) {
		t.Errorf("%d directives of %d are used", len(blocks[0].Tokens), len(directives))
	}
	for _, directive := range directives {
		if _, err := caddy.DirectiveAction("dns", directive); err != nil {
			t.Errorf("%s is not compiled in: %v", directive, err)
		}
	}
}

func TestOtherDirectivesAreRefused(t *testing.T) {
	if _, err := caddyfile.Parse("Corefile", strings.NewReader(".:53 {\n  route53\n}\n"), directives); err == nil {
		t.Error("a directive without a plugin was taken")
	}
}
