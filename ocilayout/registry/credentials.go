package registry

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// findLogin finds the login for a repository, and the file that has it or names its helper.
func (c *Client) findLogin(ctx context.Context, r Reference) (auth.Credential, string, error) {
	for _, file := range c.options.AuthFiles {
		found, err := readLogin(ctx, file, r)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, fs.ErrPermission): // another user's home
			c.explain("%v", err)
		case err != nil:
			return auth.EmptyCredential, file, err
		case found != auth.EmptyCredential:
			return found, file, nil
		}
	}
	return auth.EmptyCredential, "", nil
}

// authFile is the part of an auth file that says where a login is.
type authFile struct {
	Auths       map[string]json.RawMessage `json:"auths"`
	CredHelpers map[string]string          `json:"credHelpers"`
	CredsStore  string                     `json:"credsStore"`
}

// maxAuthFile limits an auth file.
const maxAuthFile = 4 << 20

func readAuthFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxAuthFile+1))
	if err == nil && len(b) > maxAuthFile {
		err = fmt.Errorf("it has more than %d MiB", maxAuthFile>>20)
	}
	return b, err
}

// readLogin finds the login for a repository in an auth file. It asks a credential helper first, as docker does,
// and then looks in the file itself, as podman does: for the repository, and then for the namespaces above it.
func readLogin(ctx context.Context, name string, r Reference) (found auth.Credential, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("read login for %s in %q: %w", r.Registry, name, err)
		}
	}()
	b, err := readAuthFile(name)
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
		found, err = askHelper(ctx, helper, credentials.ServerAddressFromRegistry(r.Registry), helperTimeout)
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
	if found, err = parseLogin(file.Auths[key]); err != nil {
		return found, fmt.Errorf("the entry %q is damaged", key) // err would contain the secret
	}
	return found, nil
}

// parseLogin parses an entry of an auth file.
func parseLogin(entry []byte) (auth.Credential, error) {
	var e struct {
		Auth          string `json:"auth"` // NAME:PASSWORD in base64
		IdentityToken string `json:"identitytoken"`
		RegistryToken string `json:"registrytoken"`
		Username      string `json:"username"`
		Password      string `json:"password"`
	}
	if err := json.Unmarshal(entry, &e); err != nil {
		return auth.EmptyCredential, err
	}
	found := auth.Credential{Username: e.Username, Password: e.Password, RefreshToken: e.IdentityToken, AccessToken: e.RegistryToken}
	if e.Auth == "" {
		return found, nil
	}
	b, err := base64.StdEncoding.DecodeString(e.Auth)
	if err != nil {
		return auth.EmptyCredential, err
	}
	name, password, ok := strings.Cut(string(b), ":")
	if !ok {
		return auth.EmptyCredential, errors.New("no colon")
	}
	found.Username, found.Password = name, strings.TrimRight(password, "\x00") // docker pads old entries
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
