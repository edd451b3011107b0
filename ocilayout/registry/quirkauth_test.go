package registry

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestQuirksOfLogins has registries that ask for a login in their own way.
func TestQuirksOfLogins(t *testing.T) {
	const login = "me:secret"
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(login))
	// asking requires the login, or a token, and asks for it with these challenges.
	// In a challenge, REALM is the address of a token endpoint, and SCOPE what the request needs.
	asking := func(challenges ...string) func(*fakeRegistry) {
		return func(f *fakeRegistry) {
			f.fault = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/token" {
					answer := "token"
					if strings.Contains(r.URL.RawQuery, "access") {
						answer = "access_token"
					}
					if r.Header.Get("Authorization") != basic || r.URL.Query().Get("service") != "the, \"service\"" {
						refuse(w, 401, "UNAUTHORIZED")
						return true
					}
					_, _ = fmt.Fprintf(w, `{%q:"abc","expires_in":300,"issued_at":"2024-02-29T12:00:00Z"}`, answer)
					return true
				}
				if a := r.Header.Get("Authorization"); a == basic || a == "Bearer abc" {
					return false
				}
				for _, c := range challenges {
					c = strings.ReplaceAll(c, "REALM", "http://"+r.Host+"/token")
					c = strings.ReplaceAll(c, "SCOPE", "repository:team/hello:pull,push")
					w.Header().Add("WWW-Authenticate", c)
				}
				refuse(w, 401, "UNAUTHORIZED")
				return true
			}
		}
	}
	const service = `service="the, \"service\""`
	hidden := func(status int) func(*fakeRegistry) {
		return func(f *fakeRegistry) {
			f.fault = func(w http.ResponseWriter, r *http.Request) bool {
				switch {
				case r.Header.Get("Authorization") == basic:
					return false
				case r.URL.Path == "/v2/":
					w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
					refuse(w, 401, "UNAUTHORIZED")
				default:
					refuse(w, status, "")
				}
				return true
			}
		}
	}
	nobody := "401 Unauthorized"
	checkQuirks(t, []quirk{
		{name: "Basic", login: login, set: asking(`Basic realm="x"`)},
		{name: "Basic without a realm", login: login, set: asking(`Basic`)},
		{name: "Negotiate, then Basic, in two headers", login: login, set: asking(`Negotiate`, `Basic realm="x"`)},
		{name: "Negotiate, then Basic, in one header", login: login, set: asking(`Negotiate, Basic realm="x"`)},
		{name: "Negotiate with a token, NTLM and Digest, then Basic", login: login,
			set: asking(`Negotiate YIIB/gYGKwYBBQUCoII=, NTLM`, `Digest realm="a, Basic b", nonce="c\"d", qop="auth", Basic realm="x"`)},
		{name: "Negotiate, then Bearer", login: login, set: asking(`Negotiate`, `Bearer realm="REALM",`+service+`,scope="SCOPE"`)},
		{name: "Bearer, then Basic", login: login, set: asking(`Bearer realm="REALM",` + service + `,scope="SCOPE", Basic realm="x"`)},
		{name: "Bearer without a realm, then Basic", login: login, set: asking(`Bearer`, `Basic realm="x"`)},
		{name: "Bearer with names in upper case", login: login, set: asking(`BEARER Realm="REALM", SERVICE="the, \"service\"", Scope="SCOPE"`)},
		{name: "Bearer with spaces in odd places", login: login, set: asking(`Bearer   realm = "REALM" ,, ` + service + "\t, scope=\"SCOPE\" ,")},
		{name: "Bearer without commas", login: login, set: asking(`Bearer realm="REALM" ` + service + ` scope="SCOPE"`)},
		{name: "Bearer without quotes", login: login, set: asking(`Bearer realm=REALM, ` + service)},
		{name: "Bearer with an error", login: login, set: asking(`Bearer realm="REALM",` + service + `,scope="SCOPE",error="insufficient_scope"`)},
		{name: "Bearer without a scope", login: login, set: asking(`Bearer realm="REALM",` + service)},
		{name: "a token called access_token", login: login, set: asking(`Bearer realm="REALM?access",` + service + `,scope="SCOPE"`)},
		{name: "only unknown schemes", login: login, set: asking(`Negotiate`, `NTLM`), push: nobody, attach: nobody, update: nobody, verify: nobody},
		{name: "no challenge", login: login, set: asking(), push: nobody, attach: nobody, update: nobody, verify: nobody},
		{name: "a realm at a link-local address", login: login, set: asking(`Bearer realm="http://169.254.169.254/latest",` + service),
			push: "169.254.169.254", attach: "169.254.169.254", update: "169.254.169.254", verify: "169.254.169.254"},
		{name: "a realm that is a file", login: login, set: asking(`Bearer realm="file:///etc/passwd",` + service),
			push: "unsupported scheme", attach: "unsupported scheme", update: "unsupported scheme", verify: "unsupported scheme"},
		{name: "an empty token", login: login, set: func(f *fakeRegistry) {
			f.fault = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/token" {
					_, _ = w.Write([]byte(`{"token":""}`))
				} else {
					w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token"`)
					w.WriteHeader(401)
				}
				return true
			}
		}, push: "empty token", attach: "empty token", update: "empty token", verify: "empty token"},
		{name: "401 only at /v2/, and 404 elsewhere", login: login, set: hidden(404), still: sentTwice},
		{name: "401 only at /v2/, and 403 elsewhere", login: login, set: hidden(403), still: sentTwice},
		{name: "401 only at /v2/, without a login", set: hidden(404), push: "404", attach: "404", update: "404", verify: "404"},
	})
}

// TestQuirksOfLimits has registries that ask for a wait.
func TestQuirksOfLimits(t *testing.T) {
	limited := func(status int, code string, after func(http.Header)) func(*fakeRegistry) {
		return func(f *fakeRegistry) {
			seen := make(map[string]bool)
			f.fault = func(w http.ResponseWriter, r *http.Request) bool {
				f.mu.Lock()
				defer f.mu.Unlock()
				if at := r.Method + r.URL.Path; !seen[at] && len(seen) < 4 {
					seen[at] = true
					after(w.Header())
					refuse(w, status, code)
					return true
				}
				return false
			}
		}
	}
	nothing := func(http.Header) {}
	header := func(name, value string) func(http.Header) {
		return func(h http.Header) { h.Set(name, value) }
	}
	always := func(after string) func(*fakeRegistry) {
		return func(f *fakeRegistry) {
			f.fault = matching("* /v2/*/*", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", after)
				refuse(w, 429, "TOOMANYREQUESTS")
			})
		}
	}
	const long = "429 Too Many Requests*; it asks for a wait of 6h0m0s"
	checkQuirks(t, []quirk{
		{name: "429 without a wait", set: limited(429, "TOOMANYREQUESTS", nothing)},
		{name: "429 with a wait in seconds", set: limited(429, "TOOMANYREQUESTS", header("Retry-After", "1"))},
		{name: "429 with a date that has passed", set: limited(429, "TOOMANYREQUESTS", header("Retry-After", "Thu, 01 Jan 1970 00:00:00 GMT"))},
		{name: "429 with a date by a clock that is years ahead", set: limited(429, "", func(h http.Header) {
			now := time.Now().AddDate(3, 0, 0).UTC()
			h.Set("Date", now.Format(http.TimeFormat))
			h.Set("Retry-After", now.Add(time.Second).Format(http.TimeFormat))
		})},
		{name: "503 with a wait", set: limited(503, "UNAVAILABLE", header("Retry-After", "1"))},
		{name: "a wait that is no number", set: limited(429, "", header("Retry-After", "soon"))},
		{name: "403 with the code of a limit", set: limited(403, "TOOMANYREQUESTS", nothing)},
		{name: "a wait of hours", set: always("21600"), push: long, attach: long, update: long, verify: long},
	})
}

// TestQuirksOfDocuments has registries that treat documents attached to an image in their own way.
func TestQuirksOfDocuments(t *testing.T) {
	const tag = "sha256-*"
	artifact := func(refuse http.HandlerFunc) func(*fakeRegistry) {
		return func(f *fakeRegistry) {
			f.fault = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/manifests/sha256:") {
					return false
				}
				refuse(w, r)
				return true
			}
		}
	}
	status := func(n int, code string) func(*fakeRegistry) {
		return artifact(func(w http.ResponseWriter, _ *http.Request) { refuse(w, n, code) })
	}
	const at = "attach application/spdx+json to */team/hello@sha256:*: status "
	checkQuirks(t, []quirk{
		{name: "the list of referrers answers 405", set: refusing("* */referrers/*", 405, "UNSUPPORTED")},
		{name: "the list of referrers answers 500", set: refusing("* */referrers/*", 500, "")},
		{name: "the list of referrers is kept by the registry", set: func(f *fakeRegistry) { f.lists = true }},
		{name: "a missing referrers tag answers 400", set: refusing("GET */manifests/"+tag, 400, "")},
		{name: "a missing referrers tag answers 401", set: refusing("GET */manifests/"+tag, 401, "UNAUTHORIZED")},
		{name: "a missing referrers tag answers 403", set: refusing("GET */manifests/"+tag, 403, "DENIED")},
		{name: "a missing referrers tag answers 405", set: refusing("GET */manifests/"+tag, 405, "")},
		{name: "a missing referrers tag answers 501", set: refusing("GET */manifests/"+tag, 501, "")},
		{name: "the referrers tag leads to a page", set: func(f *fakeRegistry) {
			f.fault = matching("GET */manifests/"+tag, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				_, _ = w.Write([]byte("<html>"))
			})
		}},
		{name: "the referrers tag cannot be set", set: refusing("PUT */manifests/"+tag, 400, "TAG_INVALID"), attach: at + "400"},
		{name: "artifacts are refused with 400", set: status(400, "MANIFEST_INVALID"), attach: at + "400 Bad Request: manifest invalid"},
		{name: "artifacts are refused with 403", set: status(403, "DENIED"), attach: at + "403"},
		{name: "artifacts are refused with 404", set: status(404, ""), attach: at + "404"},
		{name: "artifacts are refused with 415", set: status(415, ""), attach: at + "415"},
		{name: "artifacts are answered with 500", set: status(500, ""), attach: "attach application/spdx+json to */team/hello@sha256:* (7 tries): status 500"},
		{name: "answers of referrers in lower case", set: func(f *fakeRegistry) {
			f.lists = true
			f.fault = f.altered("PUT */manifests/*", func(_ *http.Request, answer *httptest.ResponseRecorder) {
				if s := answer.Header().Get("Oci-Subject"); s != "" {
					answer.Header().Del("Oci-Subject")
					answer.Header()["oci-subject"] = []string{s}
				}
			})
		}},
	})
}
