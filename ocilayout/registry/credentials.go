package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// credential returns a function that finds the login for a repository when its registry asks for one.
func (c *Client) credential(r Reference) auth.CredentialFunc {
	return func(ctx context.Context, host string) (auth.Credential, error) {
		if host != r.host() {
			return auth.EmptyCredential, nil
		}
		for _, file := range c.options.AuthFiles {
			found, err := readLogin(ctx, file, r)
			switch {
			case errors.Is(err, fs.ErrNotExist):
			case errors.Is(err, fs.ErrPermission): // another user's home
				c.explain("%v", err)
			case err != nil:
				return auth.EmptyCredential, err
			case found != auth.EmptyCredential:
				return found, nil
			}
		}
		return auth.EmptyCredential, nil
	}
}

// authFile is the part of an auth file that says where a login is.
type authFile struct {
	Auths       map[string]json.RawMessage `json:"auths"`
	CredHelpers map[string]string          `json:"credHelpers"`
	CredsStore  string                     `json:"credsStore"`
}

// readLogin finds the login for a repository in an auth file. It asks a credential helper first, as docker does,
// and then looks in the file itself, as podman does: for the repository, and then for the namespaces above it.
func readLogin(ctx context.Context, name string, r Reference) (found auth.Credential, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("read login for %s in %q: %w", r.Registry, name, err)
		}
	}()
	b, err := os.ReadFile(name)
	if err != nil {
		return found, err
	}
	var file authFile
	if len(b) == 0 {
		return found, nil
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return found, err
	}
	helper := file.CredsStore
	for _, key := range registryKeys(r) {
		if h := file.CredHelpers[key]; h != "" {
			helper = h
			break
		}
	}
	if helper != "" {
		found, err = credentials.NewNativeStore(helper).Get(ctx, credentials.ServerAddressFromRegistry(r.Registry))
		if err != nil {
			return found, fmt.Errorf("docker-credential-%s: %w", helper, err)
		}
		if found != auth.EmptyCredential {
			return found, nil
		}
	}
	key := file.find(r)
	if key == "" {
		return found, nil
	}
	store, err := credentials.NewFileStore(name)
	if err != nil {
		return found, err
	}
	if found, err = store.Get(ctx, key); err != nil {
		return found, fmt.Errorf("the entry %q is damaged", key) // err would contain the secret
	}
	return found, nil
}

// find returns the key of the entry for a repository, or "".
func (f *authFile) find(r Reference) string {
	for path := r.Repository; ; {
		if key := r.Registry + "/" + path; f.Auths[key] != nil {
			return key
		}
		at := strings.LastIndexByte(path, '/')
		if at < 0 {
			break
		}
		path = path[:at]
	}
	for _, key := range registryKeys(r) {
		if f.Auths[key] != nil {
			return key
		}
	}
	// Older versions of Docker wrote URLs.
	var old []string
	for key := range f.Auths {
		rest, ok := strings.CutPrefix(key, "https://")
		if !ok {
			rest, ok = strings.CutPrefix(key, "http://")
		}
		host, _, _ := strings.Cut(rest, "/")
		if ok && slices.Contains(registryKeys(r), host) {
			old = append(old, key)
		}
	}
	if len(old) == 0 {
		return ""
	}
	return slices.Min(old)
}

// registryKeys returns the names of a registry in auth files.
func registryKeys(r Reference) []string {
	keys := []string{r.Registry}
	if server := credentials.ServerAddressFromRegistry(r.Registry); server != r.Registry { // docker.io
		keys = append(keys, server, "index.docker.io", r.host())
	}
	return keys
}
