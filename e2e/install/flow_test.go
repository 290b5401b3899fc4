package install

import (
	"net/http"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/eventbaton/baton/e2e/helm"
)

// With flowSchema the API server puts the requests for the lock and the cursors, and no others, where the chart says.
func TestFlowSchema(t *testing.T) {
	t.Parallel()
	ctx, ns := within(t), unique("flow")
	namespace(t, ns)
	client := helm.V4(suite.kubeconfig)
	do(t, client.Install(ctx, helm.Release{
		Name: ns, Namespace: ns, Chart: suite.chart, Values: with(noCleanup, values{"flowSchema": values{"enabled": true}}),
	}))
	name := ns + "-baton." + ns
	flows := suite.plane.Client().FlowcontrolV1()
	schema, err := flows.FlowSchemas().Get(ctx, name, metav1.GetOptions{})
	do(t, err)
	level, err := flows.PriorityLevelConfigurations().Get(ctx, name, metav1.GetOptions{})
	do(t, err)

	config := suite.plane.Admin()
	config.BearerToken = token(t, ctx, ns, ns+"-baton")
	agent, err := rest.HTTPClientFor(config)
	do(t, err)
	defer agent.CloseIdleConnections()
	flow := func(path string) (string, string) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, config.Host+path, nil)
		do(t, err)
		response, err := agent.Do(request)
		do(t, err)
		_ = response.Body.Close()
		return response.Header.Get("X-Kubernetes-PF-FlowSchema-UID"), response.Header.Get("X-Kubernetes-PF-PriorityLevel-UID")
	}
	for path, own := range map[string]bool{
		"/apis/coordination.k8s.io/v1/namespaces/" + ns + "/leases/" + ns + "-baton": true,
		"/api/v1/namespaces/" + ns + "/configmaps/" + ns + "-baton-cursors":          true,
		"/api/v1/events?limit=1": false,
	} {
		for { // the API server takes a new schema over when it sees it
			gotSchema, gotLevel := flow(path)
			if gotSchema != "" && own == (gotSchema == string(schema.UID) && gotLevel == string(level.UID)) {
				break
			}
			select {
			case <-ctx.Done():
				t.Fatalf("%s goes by the schema %s and the level %s; that the chart's (%s, %s) decide is to be %v",
					path, gotSchema, gotLevel, schema.UID, level.UID, own)
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	do(t, client.Uninstall(ctx, ns, ns, 0))
}
