package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/registry"
)

// hintRegistry returns what to do about the answer of a registry, or "".
func hintRegistry(e *registry.Error) string {
	missing := e.Status == http.StatusNotFound
	switch {
	case e.Wait > 0 || e.Status == http.StatusTooManyRequests:
		return hintLimit(e)
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		return hintLogin(e)
	case missing && e.Push:
		if region, ok := ecrRegion(e.Registry); ok {
			return fmt.Sprintf("make the repository first: aws ecr create-repository --region %s --repository-name %s", region, e.Repository)
		}
		return fmt.Sprintf("make the repository %s, or the project above it, in %s first", e.Repository, e.Registry)
	case missing:
		return "check the name and the tag"
	case e.Status == http.StatusMethodNotAllowed && e.Push:
		return fmt.Sprintf("%s may be a mirror or a proxy, or %s read-only: push to the registry behind it", e.Registry, e.Repository)
	case e.Status == http.StatusRequestEntityTooLarge:
		return hintTooLarge(e)
	case e.Push && refusesType(e):
		return hintType(e)
	}
	return ""
}

// hintReach returns what to do about a server that cannot be reached, or "".
func hintReach(err error) string {
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: check the name and the port, and that the server runs"
	case errors.As(err, &dns):
		return "check the name of the server; if this machine needs a proxy, HTTPS_PROXY names it"
	}
	return ""
}

// hintLimit says how long to wait.
func hintLimit(e *registry.Error) string {
	wait := "later"
	if e.Wait > 0 {
		wait = "in " + e.Wait.Round(time.Second).String()
	}
	if e.Login == "" {
		return fmt.Sprintf("%s limits requests: run it again %s, or log in for a higher limit: %s", e.Registry, wait, loginCommand(e))
	}
	return fmt.Sprintf("%s limits requests: run it again %s", e.Registry, wait)
}

// hintLogin says which file had the login, or that there is no login.
func hintLogin(e *registry.Error) string {
	switch file := os.Getenv("REGISTRY_AUTH_FILE"); {
	case e.Login != "" && e.Status == http.StatusUnauthorized:
		return fmt.Sprintf("the login for %s in %q is refused; log in again: %s", e.Registry, e.Login, loginCommand(e))
	case e.Login != "":
		return fmt.Sprintf("the login for %s in %q has no right to do this in %s; get it, or log in as another user: %s",
			e.Registry, e.Login, e.Repository, loginCommand(e))
	case file != "":
		return fmt.Sprintf("the file in REGISTRY_AUTH_FILE, %q, has no login for %s; log in: %s", file, e.Registry, loginCommand(e))
	}
	return fmt.Sprintf("there is no login for %s; log in with podman or docker: %s", e.Registry, loginCommand(e))
}

// loginCommand returns the command that logs in to a registry.
func loginCommand(e *registry.Error) string {
	login := "podman login "
	if os.Getenv("REGISTRY_AUTH_FILE") != "" {
		login += `--authfile "$REGISTRY_AUTH_FILE" `
	}
	if region, ok := ecrRegion(e.Registry); ok {
		return fmt.Sprintf("aws ecr get-login-password --region %s | %s--username AWS --password-stdin %s", region, login, e.Registry)
	}
	return login + e.Registry
}

// ecrRegion returns the region of a registry of AWS.
func ecrRegion(host string) (string, bool) {
	_, rest, ok := strings.Cut(host, ".dkr.ecr.")
	region, domain, _ := strings.Cut(rest, ".")
	return region, ok && strings.HasPrefix(domain, "amazonaws.com")
}

// hintTooLarge says who limits the size, and how to send less at once.
func hintTooLarge(e *registry.Error) string {
	who := "the registry, or a proxy before it,"
	if e.Server != "" {
		who = fmt.Sprintf("%q, which answers for the registry,", e.Server)
	}
	raise := "raise its limit"
	if strings.HasPrefix(strings.ToLower(e.Server), "nginx") {
		raise = "raise client_max_body_size there"
	}
	less := "make smaller layers: --layers per-path"
	if len(e.Types) > 0 && isManifestType(e.Types[0]) {
		less = "make fewer layers with --max-layers"
	}
	if e.Size > 0 {
		return fmt.Sprintf("%s takes less than %s: %s, or %s", who, humanBytes(e.Size), raise, less)
	}
	return fmt.Sprintf("%s takes less: %s, or %s", who, raise, less)
}

// refusesType reports whether a registry may have refused a manifest for one of its media types.
func refusesType(e *registry.Error) bool {
	switch e.Status {
	case http.StatusUnsupportedMediaType:
		return true
	case http.StatusBadRequest, http.StatusNotAcceptable, http.StatusUnprocessableEntity:
		return len(e.Types) > 0 && isManifestType(e.Types[0])
	}
	return false
}

func isManifestType(t string) bool {
	return strings.HasPrefix(t, "application/vnd.oci.image.manifest.") || strings.HasPrefix(t, "application/vnd.oci.image.index.") ||
		t == ocilayout.DockerImageType || t == ocilayout.DockerListType
}

// hintType names the media type that a registry most likely refuses, and what avoids it.
func hintType(e *registry.Error) string {
	for _, t := range e.Types {
		if strings.HasSuffix(t, "+zstd") {
			return fmt.Sprintf("the registry may refuse layers of type %s: --compression gzip makes others", t)
		}
	}
	if len(e.Types) == 0 {
		return ""
	}
	return fmt.Sprintf("the registry may refuse the type %s: write a layout, oci:DIR:TAG, and convert it: "+
		"skopeo copy --format v2s2 oci:DIR:TAG docker://%s/%s:TAG", e.Types[0], e.Registry, e.Repository)
}
