package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// LoginList says for which registries an auth file has logins. It has none of the logins.
type LoginList struct {
	Registries []string          // with a login in the file; also of a namespace, as in registry.example.com/team
	Damaged    []string          // whose entry cannot be read
	Helpers    map[string]string // from a registry to the name of its credential helper
	Store      string            // the credential helper of all other registries, or ""
}

// ListLogins reads an auth file as readLogin does, for people. It runs no credential helper.
// Unlike readLogin it does not wait for a pipe: what is not a regular file is an error.
func ListLogins(name string) (*LoginList, error) {
	b, err := readRegular(name)
	if err != nil {
		return nil, fmt.Errorf("read logins: %w", err)
	}
	list := &LoginList{}
	if len(b) == 0 {
		return list, nil
	}
	var file authFile
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, fmt.Errorf("read logins in %q: %w", name, plainJSON(err))
	}
	list.Store, list.Helpers = file.CredsStore, file.CredHelpers
	for _, key := range slices.Sorted(maps.Keys(file.Auths)) {
		login, err := parseLogin(file.Auths[key])
		switch registry := withoutLogin(key); {
		case err != nil:
			list.Damaged = append(list.Damaged, registry)
		case login.Username+login.Password+login.RefreshToken+login.AccessToken != "":
			list.Registries = append(list.Registries, registry)
		}
	}
	return list, nil
}

// withoutLogin returns the registry in a key of an auth file, which may be a URL. A login in the URL is left out.
func withoutLogin(key string) string {
	_, rest, isURL := strings.Cut(key, "://")
	if isURL {
		key = rest
	}
	key = key[strings.LastIndexByte(key, '@')+1:] // first, since a password may have a slash
	if isURL {
		key, _, _ = strings.Cut(key, "/")
	}
	return key
}

// plainJSON returns an error of package json without text from the file, which may be a secret.
func plainJSON(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("it is not JSON: byte %d is wrong", syntax.Offset)
	}
	return errors.New("it is JSON, but not of auths, credHelpers and credsStore")
}

func readRegular(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("not a regular file")}
	}
	b, err := io.ReadAll(io.LimitReader(f, maxAuthFile+1))
	if err == nil && len(b) > maxAuthFile {
		err = &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("it has more than %d MiB", maxAuthFile>>20)}
	}
	return b, err
}
