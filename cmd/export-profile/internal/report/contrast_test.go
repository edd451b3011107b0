package report

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"testing"
)

// colours returns the variables of a rule of the style.
func colours(t *testing.T, rule string) map[string]string {
	t.Helper()
	body := regexp.MustCompile(regexp.QuoteMeta(rule) + `\s*\{([^}]*)\}`).FindStringSubmatch(style)
	if body == nil {
		t.Fatalf("the style has no rule %s", rule)
	}
	all := make(map[string]string)
	for _, m := range regexp.MustCompile(`--([a-z-]+):\s*(#[0-9a-f]{6});`).FindAllStringSubmatch(body[1], -1) {
		all[m[1]] = m[2]
	}
	return all
}

// channels returns a colour such as #1558b0 as numbers from 0 to 1.
func channels(t *testing.T, colour string) (all [3]float64) {
	t.Helper()
	for i := range all {
		n, err := strconv.ParseUint(colour[1+2*i:3+2*i], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = float64(n) / 255
	}
	return all
}

// contrast returns the contrast of two colours, as WCAG 2.2 defines it. Text of an opacity below 1 lets the other colour through.
func contrast(t *testing.T, text, behind string, opacity float64) float64 {
	t.Helper()
	a, b := channels(t, text), channels(t, behind)
	luminance := func(c [3]float64) (sum float64) {
		for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
			if c[i] <= 0.04045 {
				sum += weight * c[i] / 12.92
			} else {
				sum += weight * math.Pow((c[i]+0.055)/1.055, 2.4)
			}
		}
		return sum
	}
	for i := range a {
		a[i] = opacity*a[i] + (1-opacity)*b[i]
	}
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// TestContrast checks that text and graphics are legible, light and dark: text has a contrast of at least 4.5, and graphics of 3.
func TestContrast(t *testing.T) {
	light, dark := colours(t, ":root"), colours(t, "@media screen and (prefers-color-scheme: dark) {\n  :root")
	if a, b := slices.Sorted(maps.Keys(light)), slices.Sorted(maps.Keys(dark)); !slices.Equal(a, b) || len(a) < 25 {
		t.Fatalf("the light page has the colours %v, and the dark one %v", a, b)
	}
	if got := contrast(t, "#000000", "#ffffff", 1); math.Abs(got-21) > 0.001 {
		t.Fatalf("black on white has a contrast of %v; want 21", got)
	}
	for scheme, c := range map[string]map[string]string{"light": light, "dark": dark} {
		check := func(text, behind string, opacity, least float64) {
			t.Helper()
			if got := contrast(t, c[text], c[behind], opacity); got < least {
				t.Errorf("%s: %s on %s has a contrast of %.2f; want at least %v", scheme, text, behind, got, least)
			}
		}
		for _, behind := range []string{"paper", "card"} {
			for _, text := range []string{"ink", "soft", "accent", "error", "warning"} {
				check(text, behind, 1, 4.5)
			}
		}
		for _, text := range []string{"ink", "soft", "accent"} { // the row of the chosen object
			check(text, "accent-soft", 1, 4.5)
		}
		for _, cell := range []string{"direct", "one", "shared", "other", "root"} {
			check("cell-ink", cell, 1, 4.5)
			check("cell-ink", cell, 0.85, 4.5) // the sizes
		}
		for _, graphic := range []string{"whole", "contents", "tables", "unknown", "grown", "shrunk", "way"} {
			check(graphic, "card", 1, 3)
		}
	}
}
