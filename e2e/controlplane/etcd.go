package controlplane

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// Compact throws away all history that etcd has, as it would after a few minutes: what was written before can no longer
// be watched from.
func (c *ControlPlane) Compact(ctx context.Context) error {
	for _, s := range []*server{c.etcd, c.events} {
		if s == nil {
			continue
		}
		if err := compact(ctx, s.url()); err != nil {
			return fmt.Errorf("compacting %s: %w", s.name, err)
		}
	}
	return nil
}

// compact goes through etcd's JSON gateway: its client would be a large dependency.
func compact(ctx context.Context, url string) error {
	var now struct {
		Header struct {
			Revision string `json:"revision"`
		} `json:"header"`
	}
	// Any key does: every answer carries the revision.
	if err := post(ctx, url+"/v3/kv/range", map[string]any{"key": []byte("x")}, &now); err != nil {
		return err
	}
	request := map[string]any{"revision": now.Header.Revision, "physical": true}
	return post(ctx, url+"/v3/kv/compaction", request, &struct{}{})
}

func post(ctx context.Context, url string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("POST %s: %s: %s", url, res.Status, answer)
	}
	return json.Unmarshal(answer, out)
}
