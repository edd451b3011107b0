package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"oras.land/oras-go/v2/registry/remote/auth"
)

// helperTimeout leaves a person time to unlock a key ring.
const helperTimeout = 2 * time.Minute

// maxHelper limits what is read of a credential helper.
const maxHelper = 64 << 10

// notInKeychain is how credential helpers say that they have no login.
const notInKeychain = "credentials not found in native keychain"

// askHelper asks a credential helper for the login of a server, as docker does: the server's name goes to its standard input,
// so that neither it nor the login is in the list of processes.
func askHelper(ctx context.Context, name, server string, timeout time.Duration) (auth.Credential, error) {
	if name != filepath.Base(name) {
		return auth.EmptyCredential, errors.New("its name is a path")
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	out, errs := &limitedWriter{left: maxHelper}, &limitedWriter{left: maxHelper, to: os.Stderr}
	cmd := exec.CommandContext(ctx, "docker-credential-"+name, "get")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(server), out, errs
	cmd.WaitDelay = time.Second // a program that it has started may keep its output open
	err := cmd.Run()
	text := strings.TrimSpace(out.text.String())
	var exit *exec.ExitError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return auth.EmptyCredential, fmt.Errorf("it did not answer within %v", timeout)
	case ctx.Err() != nil:
		return auth.EmptyCredential, context.Cause(ctx)
	case out.full:
		return auth.EmptyCredential, fmt.Errorf("it printed more than %d KiB", maxHelper>>10)
	case errors.As(err, &exit) && text == notInKeychain:
		return auth.EmptyCredential, nil
	case errors.As(err, &exit) && text != "" && !strings.ContainsAny(text, "{}"): // JSON may have the secret in it
		return auth.EmptyCredential, errors.New(plainText(text))
	case err != nil:
		return auth.EmptyCredential, err
	}
	var found struct{ Username, Secret string }
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		return auth.EmptyCredential, errors.New("it did not print a login")
	}
	if found.Username == "<token>" {
		return auth.Credential{RefreshToken: found.Secret}, nil
	}
	return auth.Credential{Username: found.Username, Password: found.Secret}, nil
}

// limitedWriter keeps the beginning of what is written, or passes it on. Without to, more is an error, which stops the writer.
type limitedWriter struct {
	text strings.Builder
	to   io.Writer
	left int
	full bool // there was more
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.left)
	w.left -= n
	w.full = w.full || n < len(p)
	if w.to != nil {
		_, _ = w.to.Write(p[:n])
		return len(p), nil
	}
	w.text.Write(p[:n])
	if w.full {
		return n, errors.New("too much output")
	}
	return n, nil
}
