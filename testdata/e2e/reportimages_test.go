package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// legible is an expression that returns the texts whose contrast with what is behind them is below 4.5.
// It knows no pictures: colours in charts are checked where the style is.
const legible = `(() => {
	const parse = c => c.match(/[\d.]+/g).map(Number)
	const over = ([r, g, b, a = 1], behind) => [r, g, b].map((v, i) => v * a + behind[i] * (1 - a))
	const light = c => c.map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0)
	const bad = new Set()
	let seen = 0
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
	while (walker.nextNode()) {
		const e = walker.currentNode.parentElement
		if (!walker.currentNode.data.trim() || e.closest('svg, script, style, .spoken, .images caption') || !e.checkVisibility()) continue
		let behind = [255, 255, 255], opacity = 1
		const up = []
		for (let a = e; a; a = a.parentElement) up.push(a)
		for (const a of up.reverse()) {
			behind = over(parse(getComputedStyle(a).backgroundColor), behind)
			opacity *= getComputedStyle(a).opacity
		}
		const [r, g, b, a = 1] = parse(getComputedStyle(e).color)
		const [x, y] = [light(over([r, g, b, a * opacity], behind)), light(behind)].sort((x, y) => y - x)
		seen++
		if ((x + .05) / (y + .05) < 4.5) bad.add(((x + .05) / (y + .05)).toFixed(2) + ': ' + walker.currentNode.data.trim().slice(0, 40))
	}
	return { seen, bad: [...bad] }
})()`

// TestReportImages compares two images on a page, as an ordinary user does. It checks in a real browser that the page says the same as diff,
// that all of it is legible, light and dark, and fits a wide window, a phone and paper, and that screen readers and the keyboard find their way.
func TestReportImages(t *testing.T) {
	u := lab.user
	dir := u.scratch(t)
	library := ""
	for _, path := range lab.closure {
		if strings.Contains(path, "-libnghttp2-") {
			library = path
		}
	}
	image := func(tag string, args ...string) {
		t.Helper()
		u.export(t, dir, append([]string{"image", "--quiet", "--cache", "cache", "--compression", "zstd:chunked:1", "--layers", "per-path", "--platform", "linux/amd64", "oci:web:" + tag}, args...)...)
	}
	image("v1", "--profile", library, "--profile", lab.objects["odd"])
	image("v2", "--profile", lab.profile)
	long := strings.Repeat("a-licence-with-a-very-long-name", 4)
	writeFile(t, dir+"/metadata.json", fmt.Sprintf(`{"version": 1, "packages": {"libnghttp2": {"licenses": [{"name": %q}, {"name": "<script>alert(1)</script>"}]}}}`, long))
	u.export(t, dir, "report", "--cache", "cache", "--check", "--metadata", "metadata.json", "oci:web:v1", "oci:web:v2", "page.html")

	var diff struct {
		B      struct{ Layers int }
		Added  []string `json:"addedPaths"`
		Layers struct {
			Shared int
			Fetch  int64 `json:"fetchBytes"`
			Chunks struct {
				Fetch int64 `json:"fetchBytes"`
			}
		}
	}
	if err := json.Unmarshal([]byte(u.export(t, dir, "diff", "--json", "oci:web:v1", "oci:web:v2")), &diff); err != nil {
		t.Fatal(err)
	}

	p := browse(t)
	resize := func(width int, scheme, medium string) {
		t.Helper()
		p.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
		p.call("Emulation.setEmulatedMedia", map[string]any{"media": medium, "features": []any{map[string]any{"name": "prefers-color-scheme", "value": scheme}}}, nil)
		p.eval(nil, "%s.then(() => 1)", untilDrawn)
	}
	resize(1400, "light", "screen")
	p.open("file://" + dir + "/page.html")
	p.eval(nil, "%s.then(() => 1)", untilDrawn)

	// The first key leads past the search and the charts.
	p.press("Tab")
	var first string
	p.eval(&first, "(e => e.getBoundingClientRect().left >= 0 ? e.getAttribute('href') : 'hidden')(document.activeElement)")
	if first != "#paths" {
		t.Errorf("Tab leads to %q; want the link to the table", first)
	}

	// It says the same as diff.
	if title, which := p.text("h1"), p.text("#which"); title != "web:v2" || !strings.Contains(which, "linux/amd64") || strings.Count(which, "sha256:") != 2 {
		t.Errorf("the page is about %q: %q", title, which)
	}
	if text, want := p.text("#since"), fmt.Sprintf("%d layer", diff.Layers.Shared); !strings.HasPrefix(strings.TrimPrefix(text, "Changes since the previous image\n\n"), want) {
		t.Errorf("the page says %.200q; want %q that are the same", text, want)
	}
	var bars []float64
	p.eval(&bars, `[...document.querySelectorAll('.nodes .bar')].map(e => [...e.children].reduce((sum, r) => sum + r.getBoundingClientRect().width, 0) / e.getBoundingClientRect().width)`)
	if len(bars) != 3 || bars[0] < 0.99 || bars[1] >= bars[0] || bars[2] > bars[1]+0.02 { // each part of a bar is wide enough to be seen
		t.Errorf("the bars are %v of their places; want the first full and the others shorter: %+v", bars, diff.Layers)
	}
	var rows []string
	p.eval(&rows, "[...document.querySelectorAll('.paths tbody tr th')].map(e => e.innerText.trim())")
	added := 0
	for _, what := range rows {
		if what == "added" || what == "updated" || what == "rebuilt" {
			added++
		}
	}
	if added != len(diff.Added) || added == 0 {
		t.Errorf("the page has %d new store paths; diff has %d", added, len(diff.Added))
	}

	if text := p.text("#licences"); !strings.Contains(text, long+" AND <script>alert(1)</script>") || !strings.Contains(text, "not known") {
		t.Errorf("the licences are %.300q", text)
	}

	// Screen readers find headings in order, a title for each table and each column, and the target of each link.
	var faults []string
	p.eval(&faults, `(() => {
		const all = []
		let level = 0
		for (const h of document.querySelectorAll('h1, h2, h3, h4')) {
			if (+h.tagName[1] > level + 1) all.push(h.tagName + ' ' + h.textContent + ' follows h' + level)
			level = +h.tagName[1]
		}
		for (const s of document.querySelectorAll('main > section')) if (!s.querySelector('h2')) all.push('#' + s.id + ' has no heading')
		for (const t of document.querySelectorAll('table')) {
			if (!t.caption?.textContent) all.push('a table has no caption')
			for (const th of t.querySelectorAll('th')) if (!th.scope) all.push('no scope: ' + th.textContent)
			for (const tr of t.tBodies[0].rows) if (tr.cells.length !== t.tHead.rows[0].cells.length) all.push('a row of ' + t.caption.textContent + ' has other columns')
		}
		for (const a of document.querySelectorAll('nav a, .skip')) if (!document.querySelector(a.getAttribute('href'))) all.push(a.href)
		return all
	})()`)
	if len(faults) > 0 {
		t.Errorf("the page has faults:\n%s", strings.Join(faults, "\n"))
	}

	// All of it is legible and fits, also what is folded.
	p.eval(nil, "document.querySelectorAll('main details').forEach(d => { d.open = true })")
	for _, width := range []int{1400, 390} {
		for _, scheme := range []string{"light", "dark"} {
			resize(width, scheme, "screen")
			var seen struct {
				Seen int
				Bad  []string
			}
			if p.eval(&seen, "%s", legible); len(seen.Bad) > 0 || seen.Seen < 300 {
				t.Errorf("%d pixels, %s: of %d texts these have too little contrast:\n%s", width, scheme, seen.Seen, strings.Join(seen.Bad, "\n"))
			}
			p.screenshot(fmt.Sprintf("report-images-%d-%s", width, scheme), true)
		}
		var wide []string
		p.eval(&wide, `[document.documentElement, ...document.querySelectorAll('.scroll:has(.images, .nodes, .packages, .sides, .licences, .findings)')]
			.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => (e.querySelector('table')?.className ?? 'page') + ': ' + e.scrollWidth + ' > ' + e.clientWidth)`)
		if len(wide) > 0 {
			t.Errorf("%d pixels: too wide: %q", width, wide)
		}
	}

	// Paper is light, even if the screen is dark, and has all of it.
	resize(1400, "dark", "print")
	var ink string
	if p.eval(&ink, "getComputedStyle(document.body).color"); ink != "rgb(29, 34, 41)" {
		t.Errorf("the ink on paper is %s", ink)
	}
	resize(1400, "dark", "")
	wantPrinted(t, p, lab.closure)
	cleanPage(t, p)
}
