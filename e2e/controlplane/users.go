package controlplane

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// User is somebody whom the API server knows by a token. A new one has no rights.
type User struct{ Name, Token string }

const (
	tokensFile = "tokens.csv"
	// The API server reads the file once, so it lists more users than anybody will ask for.
	userCount = 4096
)

// makeUsers invents the users and writes the API server's token file. The first one is the admin.
func makeUsers(dir string) ([]User, error) {
	users := make([]User, userCount)
	var file bytes.Buffer
	for i := range users {
		users[i] = User{Name: fmt.Sprintf("user-%04d", i), Token: rand.Text()}
		groups := "baton:test"
		if i == 0 {
			users[i].Name, groups = "admin", "system:masters"
		}
		fmt.Fprintf(&file, "%s,%s,%d,%s\n", users[i].Token, users[i].Name, i, groups)
	}
	if err := os.WriteFile(filepath.Join(dir, tokensFile), file.Bytes(), 0o600); err != nil {
		return nil, fmt.Errorf("writing the users' tokens: %w", err)
	}
	return users, nil
}

func (c *ControlPlane) user(i int) User {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.users[i]
}

// NewUser returns a user that was not handed out before.
func (c *ControlPlane) NewUser() (User, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.users) < 2 {
		return User{}, errors.New("no users are left: raise userCount")
	}
	last := len(c.users) - 1
	u := c.users[last]
	c.users = c.users[:last]
	return u, nil
}

func (c *ControlPlane) config(u User, server string) *rest.Config {
	return &rest.Config{
		Host: server, BearerToken: u.Token, QPS: -1,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.keys.cert},
		ContentConfig: rest.ContentConfig{
			ContentType:        "application/vnd.kubernetes.protobuf",
			AcceptContentTypes: "application/vnd.kubernetes.protobuf,application/json",
		},
	}
}

// Config is the configuration of a user, without limits on its rate.
func (c *ControlPlane) Config(u User) *rest.Config { return c.config(u, c.api.url()) }

// WriteKubeconfig writes a kubeconfig file for u that reaches the API server at address, which may be a proxy's.
func (c *ControlPlane) WriteKubeconfig(file string, u User, address string) error {
	config := api.NewConfig()
	config.Clusters["test"] = &api.Cluster{Server: "https://" + address, CertificateAuthorityData: c.keys.cert}
	config.AuthInfos["test"] = &api.AuthInfo{Token: u.Token}
	config.Contexts["test"] = &api.Context{Cluster: "test", AuthInfo: "test"}
	config.CurrentContext = "test"
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		return fmt.Errorf("writing the kubeconfig of %s: %w", u.Name, err)
	}
	return nil
}
