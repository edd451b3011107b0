package report

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestBundle checks by a hash that bundle.js was built from the current sources.
func TestBundle(t *testing.T) {
	names, err := filepath.Glob("web/src/*")
	if err != nil {
		t.Fatal(err)
	}
	names = append(names, "web/build.mjs", "web/package.json", "web/package-lock.json")
	slices.Sort(names)
	hash := sha256.New()
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|\.html\(|document\.write`).Match(b) {
			t.Errorf("%s uses text as markup", name)
		}
		fmt.Fprintf(hash, "%s %d\n%s", strings.TrimPrefix(name, "web/"), len(b), b)
	}
	want := fmt.Sprintf("/* sources sha256:%x */", hash.Sum(nil))
	if got, _, _ := strings.Cut(script, "\n"); got != want {
		t.Errorf("bundle.js begins with %s; want %s: run npm ci and npm run build in web", got, want)
	}
	if regexp.MustCompile(`(?i)</script|<!--|\beval\(|new Function|fetch\(|XMLHttpRequest|import\(`).MatchString(script) {
		t.Error("bundle.js has code that the page must not run")
	}
	if len(script) > 100_000 {
		t.Errorf("bundle.js has %d bytes; want at most 100,000, since every page has them", len(script))
	}
}

// TestLicences checks that the page has the licence of every package in the bundle.
func TestLicences(t *testing.T) {
	page := write(t, sample())
	for _, name := range []string{"d3-hierarchy", "d3-selection", "d3-shape", "d3-transition", "d3-zoom"} {
		if !regexp.MustCompile(`(?m)^` + name + ` \d+\.\d+\.\d+ \(ISC\)$`).MatchString(page) {
			t.Errorf("the page lacks the licence of %s", name)
		}
	}
	if got := strings.Count(page, "Copyright"); got < 5 {
		t.Errorf("the page has %d copyright notices; want at least 5", got)
	}
}

// TestPolicy checks that the policy allows exactly the script and the style of the page, as a browser reads them.
func TestPolicy(t *testing.T) {
	page := write(t, sample())
	hashOf := func(pattern string) string {
		found := regexp.MustCompile(`(?s)` + pattern).FindStringSubmatch(page)
		if found == nil {
			t.Fatalf("the page has no %s", pattern)
		}
		sum := sha256.Sum256([]byte(found[1]))
		return "&#39;sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "&#39;"
	}
	want := `content="default-src &#39;none&#39;; script-src ` + hashOf(`<script>(.*?)</script>`) + `; style-src ` + hashOf(`<style>(.*?)</style>`) +
		`; base-uri &#39;none&#39;; form-action &#39;none&#39;"`
	if !strings.Contains(page, want) {
		t.Errorf("the page lacks the policy %s", want)
	}
	if found := regexp.MustCompile(`(?:src|href|action)="[^#"][^"]*"|url\([^#)]`).FindString(page); found != "" {
		t.Errorf("the page refers to %s", found)
	}
}
