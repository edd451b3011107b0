package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// isPlain reports whether to use plain HTTP for a registry. That is allowed only
// with Insecure or on this machine, and used only if the registry does not speak HTTPS.
func (c *Client) isPlain(ctx context.Context, r Reference) (bool, error) {
	host := r.host()
	if !c.options.Insecure && !isLoopback(host) {
		return false, nil
	}
	c.mu.Lock()
	plain, known := c.plain[host]
	c.mu.Unlock()
	if known {
		return plain, nil
	}
	err := c.try(ctx, "reach registry "+r.Registry, func(ctx context.Context) error {
		_, err := c.ping(ctx, "https://"+host)
		plain = false
		var certificate *tls.CertificateVerificationError
		if err == nil || errors.As(err, &certificate) {
			return err
		}
		if plain = errors.Is(err, http.ErrSchemeMismatch); plain { // it answered in plain HTTP
			return nil
		}
		// A server that speaks HTTPS answers plain requests with status 400.
		status, plainErr := c.ping(ctx, "http://"+host)
		plain = plainErr == nil && status != http.StatusBadRequest
		if plain {
			return nil
		}
		return err
	})
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plain[host] = plain
	return plain, nil
}

func (c *Client) ping(ctx context.Context, address string) (status int, err error) {
	_, host, _ := strings.Cut(address, "://")
	ctx = context.WithValue(ctx, originKey{}, host)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/v2/", nil)
	if err != nil {
		return 0, err
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return 0, err
	}
	drain(answer)
	return answer.StatusCode, nil
}

func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
