package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"

	"oras.land/oras-go/v2/registry/remote/auth"
)

// originKey is the context key of the host of the registry that a request is for.
type originKey struct{}

// foreignKey is the context key of the registry's host for a request that goes to another host.
type foreignKey struct{}

// errForbiddenAddress means that a registry sent us to an address that only this machine reaches.
var errForbiddenAddress = errors.New("addresses of this machine and of its network link are not contacted for a registry elsewhere")

// guard is a transport that keeps registries from using us to reach services of this machine or its link,
// such as the metadata of a cloud: by a token endpoint or a redirect, by number or by name.
// A registry on this machine may name others on this machine.
type guard struct {
	next  http.RoundTripper
	proxy func(*http.Request) (*url.URL, error)

	mu    sync.Mutex
	local map[string]bool // registries that have an address of this machine
}

func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	origin, _ := r.Context().Value(originKey{}).(string)
	if origin == "" || strings.EqualFold(hostname(origin), r.URL.Hostname()) {
		return g.next.RoundTrip(r)
	}
	fail := func(err error) (*http.Response, error) {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	host := strings.TrimSuffix(r.URL.Hostname(), ".")
	if a, err := netip.ParseAddr(host); err == nil && !g.mayReach(origin, a) || isLoopback(host) && !g.isLocal(origin) {
		return fail(fmt.Errorf("%s sends us to %s: %w", origin, host, errForbiddenAddress))
	}
	if g.proxy != nil {
		proxy, err := g.proxy(r)
		if err != nil {
			return fail(err)
		}
		if proxy != nil { // it resolves the name, and its own address may be anything
			return g.next.RoundTrip(r)
		}
	}
	return g.next.RoundTrip(r.WithContext(context.WithValue(r.Context(), foreignKey{}, origin)))
}

// control checks the address that a name has led to before it is contacted.
func (g *guard) control(ctx context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil // a unix socket
	}
	if origin, ok := ctx.Value(foreignKey{}).(string); ok {
		if !g.mayReach(origin, to.Addr()) {
			return fmt.Errorf("%s sends us to %s: %w", origin, to.Addr(), errForbiddenAddress)
		}
	} else if origin, ok := ctx.Value(originKey{}).(string); ok && to.Addr().Unmap().IsLoopback() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.local[origin] = true
	}
	return nil
}

// mayReach reports whether a registry may send us to an address.
func (g *guard) mayReach(origin string, a netip.Addr) bool {
	a = embedded(a)
	if a.IsLoopback() {
		return g.isLocal(origin)
	}
	for _, p := range auth.DefaultBlockedRealmPrefixes() {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// isLocal reports whether a registry is on this machine.
func (g *guard) isLocal(origin string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.local[origin] || isLoopback(origin)
}

// embedded returns the IPv4 address in an IPv6 address that leads to one: mapped, by NAT64 or by 6to4.
func embedded(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return a
	}
	b := a.As16()
	switch {
	case netip.MustParsePrefix("64:ff9b::/96").Contains(a):
		return netip.AddrFrom4([4]byte(b[12:]))
	case netip.MustParsePrefix("2002::/16").Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return a
}

// hostname drops the port of a host.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}
