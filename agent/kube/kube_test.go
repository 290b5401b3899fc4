package kube

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/rest"

	"github.com/eventbaton/baton/agent/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// api is an API server that answers what the test wants, in protobuf.
type api struct {
	answer   func(*http.Request) runtime.Object
	code     int
	requests []*http.Request
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.requests = append(a.requests, r)
	w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
	w.WriteHeader(a.code)
	if err := protobuf.NewSerializer(scheme, scheme).Encode(a.answer(r), w); err != nil {
		panic(err)
	}
}

func connect(t *testing.T, code int, answer func(*http.Request) runtime.Object) (*Client, *api) {
	t.Helper()
	a := &api{answer: answer, code: code}
	server := httptest.NewTLSServer(a)
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	c, err := New(&rest.Config{Host: server.URL, TLSClientConfig: rest.TLSClientConfig{CAData: ca}}, "baton/test")
	if err != nil {
		t.Fatal(err)
	}
	return c, a
}

func events(n, size int) *corev1.EventList {
	list := &corev1.EventList{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "EventList"},
		ListMeta: metav1.ListMeta{ResourceVersion: "77", Continue: "more"},
	}
	for i := range n {
		list.Items = append(list.Items, corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Name: "e" + strconv.Itoa(i), ResourceVersion: strconv.Itoa(i + 1)},
			Message:    strings.Repeat("m", size),
		})
	}
	return list
}

func TestList(t *testing.T) {
	c, a := connect(t, http.StatusOK, func(*http.Request) runtime.Object { return events(3, 10) })
	reader := c.EventReader()
	for _, namespace := range []string{"", "shop"} {
		list, err := reader.List(t.Context(), namespace, metav1.ListOptions{Limit: 3, Continue: "from"}, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Items) != 3 || list.ResourceVersion != "77" || list.Continue != "more" || list.Items[2].Name != "e2" {
			t.Errorf("list: %+v", list)
		}
		// The page must not live in a buffer that the next one is read into.
		if _, err := reader.List(t.Context(), namespace, metav1.ListOptions{}, 1<<20); err != nil || list.Items[0].Message != "mmmmmmmmmm" {
			t.Errorf("after another page: %v %q", err, list.Items[0].Message)
		}
	}
	for i, want := range map[int]string{0: "/api/v1/events", 2: "/api/v1/namespaces/shop/events"} {
		r := a.requests[i]
		if r.URL.Path != want || r.URL.Query().Get("limit") != "3" || r.URL.Query().Get("continue") != "from" {
			t.Errorf("asked for %s, want %s with limit and token", r.URL, want)
		}
		if got := r.Header.Get("User-Agent"); got != "baton/test" {
			t.Errorf("user agent %q", got)
		}
		if got := r.Header.Get("Accept-Encoding"); strings.Contains(got, "gzip") {
			t.Errorf("asks for a compressed page: %q", got)
		}
	}
}

// A page is never read further than its bound: what it would take is not known before it is read.
func TestListTooLarge(t *testing.T) {
	c, _ := connect(t, http.StatusOK, func(*http.Request) runtime.Object { return events(10, 100_000) })
	if _, err := c.EventReader().List(t.Context(), "", metav1.ListOptions{}, 500_000); !errors.Is(err, source.ErrPageTooLarge) {
		t.Errorf("error: %v", err)
	}
	if _, err := c.EventReader().List(t.Context(), "", metav1.ListOptions{}, 2_000_000); err != nil {
		t.Errorf("within the bound: %v", err)
	}
}

// An expired token's answer carries a fresh one, which has to get through.
func TestExpiredToken(t *testing.T) {
	status := apierrors.NewResourceExpired("too old").Status()
	status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	status.Continue = "fresh"
	c, _ := connect(t, http.StatusGone, func(*http.Request) runtime.Object { return &status })
	_, err := c.EventReader().List(t.Context(), "", metav1.ListOptions{Continue: "old"}, 1<<20)
	var told apierrors.APIStatus
	if !apierrors.IsResourceExpired(err) || !errors.As(err, &told) || told.Status().Continue != "fresh" {
		t.Errorf("error: %#v", err)
	}
}

func TestClusterID(t *testing.T) {
	c, a := connect(t, http.StatusOK, func(*http.Request) runtime.Object {
		return &corev1.Namespace{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: metav1.ObjectMeta{UID: "u"}}
	})
	id, err := c.ClusterID(t.Context())
	if err != nil || id != "u" || a.requests[0].URL.Path != "/api/v1/namespaces/kube-system" {
		t.Errorf("%q, %v, asked for %s", id, err, a.requests[0].URL)
	}
	status := apierrors.NewForbidden(corev1.Resource("namespaces"), "kube-system", errors.New("no")).Status()
	status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	c, _ = connect(t, http.StatusForbidden, func(*http.Request) runtime.Object { return &status })
	if _, err := c.ClusterID(t.Context()); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "cluster_id") {
		t.Errorf("without the right: %v", err)
	}
}

func TestConfig(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good := write("good", `{"apiVersion":"v1","kind":"Config","current-context":"x","contexts":[{"name":"x","context":{"cluster":"c","namespace":"shop"}}],`+
		`"clusters":[{"name":"c","cluster":{"server":"https://api.test:6443"}}]}`)
	t.Setenv("KUBECONFIG", "")
	t.Setenv("HOME", dir)

	cfg, namespace, err := Config(good)
	if err != nil || cfg.Host != "https://api.test:6443" || namespace != "shop" {
		t.Errorf("%+v %q %v", cfg, namespace, err)
	}
	for file, want := range map[string]string{
		"":                         "--kubeconfig",
		filepath.Join(dir, "none"): "none",
		write("torn", "{"):         "torn",
		write("empty", `{"kind":"Config","apiVersion":"v1"}`): "no cluster",
	} {
		if _, _, err := Config(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Config(%q): %v, want it to say %q", file, err, want)
		}
	}
	t.Setenv("KUBECONFIG", good)
	if _, namespace, err := Config(""); err != nil || namespace != "shop" {
		t.Errorf("by KUBECONFIG: %q %v", namespace, err)
	}
}
