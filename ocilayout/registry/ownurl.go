package registry

import (
	"net/http"
	"net/url"
)

// ownURL resolves an address in an answer of a registry. own reports whether it leads to the registry itself, at root.
func ownURL(answer *http.Response, root, address string) (place *url.URL, own bool, err error) {
	registry, err := url.Parse(root)
	if err != nil {
		return nil, false, err
	}
	if place, err = answer.Request.URL.Parse(address); err != nil {
		return nil, false, err
	}
	// A registry behind a proxy that adds TLS may not know that its clients use it.
	if registry.Scheme == "https" && place.Scheme == "http" && (place.Port() == "" || place.Port() == "80" || place.Port() == port(registry)) &&
		hostname(registry.Host) == place.Hostname() {
		place.Scheme, place.Host = registry.Scheme, registry.Host
	}
	// Some proxies drop the port from the name of the host.
	if place.Scheme == registry.Scheme && place.Port() == "" && registry.Port() == "443" && place.Hostname() == registry.Hostname() {
		place.Host = registry.Host
	}
	place.User, place.Fragment = nil, ""
	return place, sameHost(place, registry) && (place.Scheme == registry.Scheme || place.Scheme == "https"), nil
}
