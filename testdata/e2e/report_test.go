package e2e

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// untilDrawn is an expression that waits until the page is drawn.
const untilDrawn = "new Promise(done => setTimeout(() => requestAnimationFrame(() => setTimeout(done, 0)), 350))"

// cleanPage fails the test if the page has complained.
func cleanPage(t *testing.T, p *page) {
	t.Helper()
	if complaints := p.complaints(); len(complaints) > 0 {
		t.Errorf("the page complains:\n%s", strings.Join(complaints, "\n"))
	}
}

// TestReport uses the page in a real browser. It checks that choosing an object shows the answers of `why`, that search works,
// that the keyboard reaches everything, that names are plain text, and that the page makes no network requests.
func TestReport(t *testing.T) {
	u := lab.user
	dir := u.scratch(t)
	writeFile(t, dir+"/data", "data")
	u.export(t, dir, "report", "--profile", lab.profile, "--add", "data:/srv/<img src=x onerror=alert(1)>", "page.html")
	u.export(t, dir, "report", "--profile", lab.profile, "--add", "data:/srv/<img src=x onerror=alert(1)>", "again.html")
	if readFile(t, dir+"/page.html") != readFile(t, dir+"/again.html") {
		t.Error("a second page differs from the first")
	}

	p := browse(t)
	p.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": 1400, "height": 1000, "deviceScaleFactor": 1, "mobile": false}, nil)
	p.open("file://" + dir + "/page.html")
	p.eval(nil, "%s.then(() => 1)", untilDrawn)
	cleanPage(t, p)
	var images int
	if p.eval(&images, "document.images.length"); images != 0 {
		t.Errorf("the page has %d images; want the name as text", images)
	}
	var directive string
	p.eval(&directive, `new Promise(done => {
		document.addEventListener('securitypolicyviolation', e => done(e.effectiveDirective))
		fetch('http://127.0.0.1:9/').catch(() => {})
	})`)
	if directive != "connect-src" {
		t.Errorf("a request violates %q; want connect-src", directive)
	}
	p.events = nil // forget the violation

	// In both charts, choose objects from the largest down.
	var rows []int
	p.eval(&rows, "[...document.querySelectorAll('#paths tbody tr')].map(tr => +tr.dataset.object)")
	if len(rows) != len(lab.closure) {
		t.Fatalf("the table has %d rows; want %d", len(rows), len(lab.closure))
	}
	for i, object := range rows[:6] {
		var path string
		p.eval(&path, "document.querySelector('tr[data-object=\"%d\"] small').textContent", object)
		p.click("#whole")
		p.eval(nil, "%s.then(() => 1)", untilDrawn)
		chart := []string{"#map .cell", "#graph .node", "#paths .pick"}[i%3]
		on := fmt.Sprintf("%s[data-object=\"%d\"]", chart, object)
		if strings.HasPrefix(chart, "#graph") {
			on += " circle"
		}
		p.click(on)
		p.eval(nil, "%s.then(() => 1)", untilDrawn)

		var want []struct {
			Chain     []string
			Exclusive []string
		}
		if err := json.Unmarshal([]byte(u.export(t, dir, "why", "--json", "--profile", lab.profile, path)), &want); err != nil {
			t.Fatal(err)
		}
		var chain []string
		p.eval(&chain, "[...document.querySelectorAll('#panel .chain li')].map(li => li.innerText)")
		if len(want[0].Chain) == 1 {
			want[0].Chain = nil // the page describes a chain of one in words
		}
		for i := range want[0].Chain {
			want[0].Chain[i] = filepath.Base(want[0].Chain[i])[33:]
		}
		if !slices.Equal(chain, want[0].Chain) {
			t.Errorf("%s chosen in %s: the chain is %q; want %q", path, chart, chain, want[0].Chain)
		}
		leave := fmt.Sprintf("%d path", len(want[0].Exclusive))
		if text := p.text("#panel"); !strings.Contains(text, leave) || !strings.Contains(text, path) {
			t.Errorf("%s chosen in %s: the page shows %q; want the path, and that %ss would leave", path, chart, text, leave)
		}
		if said := p.text("#said"); !strings.Contains(said, path[33:]+": ") || !strings.Contains(said, leave) {
			t.Errorf("%s chosen in %s: the text for screen readers is %q", path, chart, said)
		}
		var marked int
		p.eval(&marked, "document.querySelectorAll('#map .chosen, #graph .node.chosen, #paths tr.chosen').length")
		if marked != 3 {
			t.Errorf("%s chosen in %s: it is marked in %d places; want 3", path, chart, marked)
		}
	}

	// Back returns to the object chosen before.
	was := p.text("#panel h2")
	p.eval(nil, "history.back()")
	p.eval(nil, "%s.then(() => 1)", untilDrawn)
	if is := p.text("#panel h2"); is == was {
		t.Errorf("after going back, %q is chosen", is)
	}

	// Search, then press Enter.
	p.click("#search")
	p.write("libc6")
	var found, shown int
	p.eval(&found, "document.querySelectorAll('#results li').length")
	p.eval(&shown, "[...document.querySelectorAll('#paths tbody tr')].filter(tr => !tr.hidden).length")
	if status := p.text("#status"); found == 0 || shown != found || !strings.HasPrefix(status, fmt.Sprintf("%d of %d paths found", found, len(rows))) {
		t.Errorf("search finds %d, shows %d, and reports %q", found, shown, status)
	}
	p.press("Enter")
	p.eval(nil, "%s.then(() => 1)", untilDrawn)
	if text := p.text("#panel h2"); !strings.HasPrefix(text, "libc6") {
		t.Errorf("Enter after a search for libc6 chooses %q", text)
	}

	// Use only the keyboard, along the graph and in the treemap.
	for _, chart := range []string{"#graph .node", "#map .cell"} {
		p.eval(nil, "document.querySelector('%s[tabindex=\"0\"]').focus()", chart)
		for _, key := range []string{"Home", "ArrowLeft", "ArrowRight", "Enter"} {
			p.press(key)
		}
		p.eval(nil, "%s.then(() => 1)", untilDrawn)
		var focused, chosen string
		p.eval(&focused, "document.activeElement.dataset.object ?? ''")
		p.eval(&chosen, "document.querySelector('#paths tr.chosen')?.dataset.object ?? ''")
		if focused == "" || focused != chosen {
			t.Errorf("Enter in %s chooses object %q; want the focused one, %q", chart, chosen, focused)
		}
	}
	var tree struct {
		Nodes []struct{ Role, Name struct{ Value any } }
	}
	p.call("Accessibility.getFullAXTree", nil, &tree)
	roles := make(map[any]int)
	for _, n := range tree.Nodes {
		if name, _ := n.Name.Value.(string); strings.Contains(name, "iB, ") {
			roles[n.Role.Value]++
		}
	}
	if roles["option"] == 0 || roles["treeitem"] != len(rows) {
		t.Errorf("elements with a name and a size have the roles %v; want some options, and %d treeitems", roles, len(rows))
	}

	// The table sorts.
	p.click("#paths th[data-sort=closure] button")
	var sorted bool
	p.eval(&sorted, `(() => {
		const model = JSON.parse(document.getElementById('data').textContent).objects
		const sizes = [...document.querySelectorAll('#paths tbody tr')].map(tr => model.closure[tr.dataset.object])
		return sizes.every((s, i) => i === 0 || s <= sizes[i - 1])
	})()`)
	if !sorted {
		t.Error("a click on its title does not sort a column with the largest first")
	}

	cleanPage(t, p)

	// The address can name the chosen object.
	p.open("about:blank")
	p.open("file://" + dir + "/page.html#" + filepath.Base(lab.object))
	if text := p.text("#panel .path"); text != lab.object {
		t.Errorf("at an address with %q, the page chooses %q", lab.object, text)
	}
}

// wantPrinted prints the page, and checks that every path is on paper and no text is beyond its edges.
func wantPrinted(t *testing.T, p *page, paths []string) {
	t.Helper()
	var paper struct{ Data []byte }
	p.call("Page.printToPDF", map[string]any{"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": false}, &paper)
	file := filepath.Join(lab.dir, "report.pdf")
	if err := os.WriteFile(file, paper.Data, 0o644); err != nil {
		t.Fatal(err)
	}
	boxes := do(t, exec.Command("pdftotext", "-bbox", file, "-")).stdout
	type box struct {
		XMin float64 `xml:"xMin,attr"`
		XMax float64 `xml:"xMax,attr"`
		YMin float64 `xml:"yMin,attr"`
		YMax float64 `xml:"yMax,attr"`
		Text string  `xml:",chardata"`
	}
	var doc struct {
		Pages []struct {
			Width  float64 `xml:"width,attr"`
			Height float64 `xml:"height,attr"`
			Words  []box   `xml:"word"`
		} `xml:"body>doc>page"`
	}
	if err := xml.Unmarshal([]byte(boxes), &doc); err != nil {
		t.Fatalf("pdftotext: %v: %.500s", err, boxes)
	}
	if n := len(doc.Pages); n < 2 || n > 20 {
		t.Errorf("the page prints on %d sheets; want 2 to 20", n)
	}
	words := 0
	for i, sheet := range doc.Pages {
		words += len(sheet.Words)
		if len(sheet.Words) == 0 {
			t.Errorf("sheet %d has no text", i+1)
		}
		for _, w := range sheet.Words {
			if w.XMin < 0 || w.YMin < 0 || w.XMax > sheet.Width || w.YMax > sheet.Height {
				t.Errorf("sheet %d: %q is cut off: at %v of %v × %v", i+1, w.Text, w, sheet.Width, sheet.Height)
			}
		}
	}
	// In reading order, the two lines of a broken path are adjacent.
	text := strings.Join(strings.Fields(do(t, exec.Command("pdftotext", "-raw", file, "-")).stdout), "")
	for _, path := range paths {
		if !strings.Contains(text, filepath.Base(path)) {
			t.Errorf("%s is not printed", path)
		}
	}
	t.Logf("%d sheets, %d words", len(doc.Pages), words)
}

// TestReportFindings checks that the page shows the findings of check and the changes since the previous image like the commands,
// and that it is not blank, light and dark.
func TestReportFindings(t *testing.T) {
	u := lab.user
	dir := u.scratch(t)
	library := ""
	for _, path := range lab.closure {
		if strings.Contains(path, "-libnghttp2-") {
			library = path
		}
	}
	u.export(t, dir, "image", "--platform", "linux/amd64", "--profile", library, "--profile", lab.objects["odd"], "oci:before:v1")
	files, err := filepath.Glob(library + "/lib/libnghttp2.so.*")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	args := []string{"--profile", lab.profile, "--allow-store-changes", "--whiteout", files[0]}
	u.export(t, dir, slices.Concat([]string{"report", "--check", "--previous", "before:v1"}, args, []string{"page.html"})...)

	type finding struct{ Path, Reason string }
	var found struct{ Errors, Warnings []finding }
	r := try(t, u.command(dir, lab.program, append([]string{"check", "--json", "-q"}, args...)...))
	if err := json.Unmarshal([]byte(r.stdout), &found); err != nil || len(found.Errors) == 0 {
		t.Fatalf("%v: %v", r, err)
	}

	p := browse(t)
	p.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": 1400, "height": 1000, "deviceScaleFactor": 1, "mobile": false}, nil)
	p.open("file://" + dir + "/page.html")
	p.eval(nil, "%s.then(() => 1)", untilDrawn)
	var rows [][]string
	p.eval(&rows, "[...document.querySelectorAll('#check tbody tr')].map(tr => [...tr.cells].map(td => td.innerText.trim()))")
	var want [][]string
	for _, f := range found.Errors {
		want = append(want, []string{"error", f.Path, f.Reason})
	}
	for _, f := range found.Warnings {
		want = append(want, []string{"warning", f.Path, f.Reason})
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("findings (-check +page):\n%s", diff)
	}
	var seen bool
	p.eval(&seen, "document.querySelector('#check .severity.error').checkVisibility()")
	if !seen {
		t.Error("an error is not visible")
	}

	// Compare the changes with the two closures.
	packages := func(args ...string) map[string]bool {
		all := make(map[string]bool)
		for line := range strings.Lines(u.export(t, dir, append([]string{"closure"}, args...)...)) {
			all[strings.Fields(line)[0]] = true
		}
		return all
	}
	before, after := packages("--profile", library, "--profile", lab.objects["odd"]), packages("--profile", lab.profile)
	var changes []struct{ Package, Change string }
	p.eval(&changes, `[...document.querySelectorAll('#since td.change')].map(td => ({
		package: td.parentElement.cells[0].textContent, change: td.textContent }))`) // some are folded
	added, removed := 0, 0
	for _, c := range changes {
		switch c.Change {
		case "added":
			added++
		case "removed":
			removed++
		}
	}
	newPaths, gonePaths := 0, 0
	for path := range after {
		if !before[path] {
			newPaths++
		}
	}
	for path := range before {
		if !after[path] {
			gonePaths++
		}
	}
	if added == 0 || added > newPaths || removed == 0 || removed > gonePaths {
		t.Errorf("the page shows %d added and %d removed packages; the closures have %d new and %d removed paths: %v", added, removed, newPaths, gonePaths, changes)
	}
	var fresh []string
	p.eval(&fresh, "[...document.querySelectorAll('#paths tbody tr:has(.new) small')].map(e => e.textContent)")
	for _, path := range fresh {
		if before[path] {
			t.Errorf("%s is marked as new, but existed before", path)
		}
	}
	if len(fresh) != newPaths {
		t.Errorf("%d paths are marked as new; want %d", len(fresh), newPaths)
	}

	// Take pictures with an object chosen, from the top, and check that they are not blank.
	p.click("#paths .pick")
	p.eval(nil, "scrollTo(0, 0)")
	bright := make(map[string]float64)
	for _, scheme := range []string{"light", "dark"} {
		p.call("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]any{"name": "prefers-color-scheme", "value": scheme}}}, nil)
		p.eval(nil, "%s.then(() => 1)", untilDrawn)
		p.screenshot("report-"+scheme+"-whole", true)
		m := p.screenshot("report-"+scheme, false)
		b, colours, most := shades(m)
		t.Logf("%s: %v, brightness %.2f, %d colours, the most common covers %.0f %%", scheme, m.Bounds().Size(), b, colours, 100*most)
		if bright[scheme] = b; colours < 20 || most > 0.97 {
			t.Errorf("%s: the page is almost blank: %d colours, and one covers %.0f %%", scheme, colours, 100*most)
		}
	}
	if bright["light"] < 0.6 || bright["dark"] > 0.4 {
		t.Errorf("brightness is %v; want at least 0.6 for light and at most 0.4 for dark", bright)
	}
	var contrast float64
	p.eval(&contrast, `(() => {
		const rgb = c => c.match(/[\d.]+/g).slice(0, 3).map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
		const light = c => rgb(c).reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0)
		const style = getComputedStyle(document.body)
		const [a, b] = [light(style.color), light(style.backgroundColor)].sort((x, y) => y - x)
		return (a + .05) / (b + .05)
	})()`)
	if contrast < 7 {
		t.Errorf("the dark page's text has a contrast of %.1f; want at least 7", contrast)
	}
	wantPrinted(t, p, lab.closure)
	cleanPage(t, p)
}

// TestReportLarge checks that a page of 10,000 store paths with 200,000 references is fast enough, and that one can use it.
// It measures processor time, not wall time. The bounds on elements and bytes are close, since these are always the same.
func TestReportLarge(t *testing.T) {
	u := lab.user
	dir := u.scratch(t)
	r := rand.New(rand.NewPCG(1, 2))
	const n = 10000
	var names [n]string
	for i := range names {
		names[i] = fmt.Sprintf("%032d-package-%d-1.%d", i, i, i%7)
	}
	store := filepath.Join(dir, "root/nix/store")
	if err := os.MkdirAll(store, 0o755); err != nil {
		t.Fatal(err)
	}
	for i, name := range names { // each refers to some later ones, and is referenced by the previous one or the first
		var content strings.Builder
		if i+1 < n && i%5 != 4 {
			fmt.Fprintln(&content, names[i+1])
		}
		for range 19 {
			if j := i + 1 + r.IntN(400); j < n {
				fmt.Fprintln(&content, names[j])
			}
		}
		if i == 0 {
			for j := 5; j < n; j += 5 {
				fmt.Fprintln(&content, names[j])
			}
		}
		content.WriteString(strings.Repeat("x", r.IntN(1+r.IntN(20_000))))
		writeFile(t, filepath.Join(store, name), content.String())
	}
	u.export(t, dir, "report", "--no-cache", "--from", "root", "--profile", names[0], "page.html")
	if size := len(readFile(t, dir+"/page.html")); size > 2_000_000 {
		t.Errorf("the page has %d bytes; want at most 2,000,000", size)
	}

	p := browse(t)
	p.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": 1400, "height": 1000, "deviceScaleFactor": 1, "mobile": false}, nil)
	p.call("Performance.enable", map[string]any{"timeDomain": "threadTicks"}, nil)
	last := 0.0
	busy := func(what string, most float64) {
		t.Helper()
		p.eval(nil, "%s.then(() => 1)", untilDrawn)
		var result struct {
			Metrics []struct {
				Name  string
				Value float64
			}
		}
		p.call("Performance.getMetrics", nil, &result)
		for _, m := range result.Metrics {
			if m.Name == "TaskDuration" {
				took := m.Value - last
				last = m.Value
				t.Logf("%s: %.2f s of processor time", what, took)
				if took > most {
					t.Errorf("%s takes %.2f s of processor time; want at most %.1f", what, took, most)
				}
			}
		}
	}
	elements := func(selector string) (count int) {
		t.Helper()
		p.eval(&count, "document.querySelectorAll(%q).length", selector)
		return count
	}
	start := time.Now()
	p.open("file://" + dir + "/page.html")
	p.eval(nil, "new Promise(done => requestAnimationFrame(() => setTimeout(() => done(1), 0)))")
	took := time.Since(start)
	t.Logf("%v until all is drawn, %d elements", took, elements("*"))
	if took > 15*time.Second { // a second on an idle machine
		t.Errorf("it takes %v until all is drawn", took)
	}
	busy("load", 2)
	if got := elements("*"); got > 11_000 {
		t.Errorf("the page has %d elements; want at most 11,000", got)
	}
	if got := elements("#paths tbody tr"); got != 500 {
		t.Errorf("the table has %d rows; want 500", got)
	}
	chosen := func(what string) string {
		t.Helper()
		busy(what, 1)
		path := p.text("#panel .path")
		if path == "" {
			t.Errorf("%s chooses nothing", what)
		}
		p.click("button.clear")
		busy("clear", 1)
		return path
	}
	p.click("#map .cell:nth-child(40)")
	chosen("a click on a cell")
	p.click("#graph .node:nth-child(40) circle")
	chosen("a click on a node")
	var at struct{ X, Y float64 }
	p.eval(&at, `(() => { // the middle of the first small cell
		const e = document.querySelector('#map .dots path')
		e.scrollIntoView({ block: 'center', behavior: 'instant' })
		const [x0, y0, x1, y1] = e.getAttribute('d').match(/\d+/g).map(Number)
		const { x, y } = new DOMPoint((x0 + x1) / 2, (y0 + y1) / 2).matrixTransform(e.getScreenCTM())
		return { x, y }
	})()`)
	p.clickAt(at.X, at.Y)
	chosen("a click on a small cell")

	// The address chooses an object that is no element of the charts, and is in no row.
	var small string
	p.eval(&small, `(() => {
		const { path, size } = JSON.parse(document.getElementById('data').textContent).objects
		return path[size.indexOf(Math.min(...size))]
	})()`)
	p.eval(nil, "location.hash = %q", small)
	busy("an address", 1)
	if got := elements("#graph .node.chosen"); got != 1 || p.text("#panel .path") != "/nix/store/"+small {
		t.Errorf("the address of %s marks %d nodes and chooses %q", small, got, p.text("#panel .path"))
	}

	p.click("#search")
	busy("focus", 1)
	p.write("package-17")
	busy("search", 1)
	if text := p.text("#status"); !strings.HasPrefix(text, "111 of 10000 paths found") {
		t.Errorf("the search reports %q", text)
	}
	if got := elements("#paths tbody tr"); got != 111 {
		t.Errorf("a search leaves %d rows; want 111", got)
	}
	p.eval(nil, "(e => { e.value = ''; e.dispatchEvent(new Event('input')) })(document.getElementById('search'))")
	busy("no search", 1)
	p.click("#paths th[data-sort=name] button")
	busy("sort by name", 2)
	p.click("#more button")
	busy("more rows", 2)
	var rows []string
	p.eval(&rows, "[...document.querySelectorAll('#paths tbody .pick')].map(e => e.textContent)")
	if want := "package-999-1.5"; len(rows) != 1000 || rows[999] != want || !strings.Contains(p.text("#more"), "1000 of 10000 store paths") {
		t.Errorf("there are %d rows, up to %q, and the page says %q; want 1000, up to %q", len(rows), rows[len(rows)-1], p.text("#more"), want)
	}
	p.click("#image summary")
	was := elements("#image .pick")
	p.click("#image .parts")
	busy("all parts of a layer", 1)
	if is := elements("#image .pick"); is <= was || elements("#image .parts") == 0 {
		t.Errorf("the first layer has %d buttons and then %d", was, is)
	}
	p.click("input[value=layer]")
	busy("by layer", 1)
	p.click("#all")
	busy("all references", 2)
	p.screenshot("report-large", false)
	cleanPage(t, p)

	// On paper, the page says what it leaves out.
	var paper struct{ Data []byte }
	p.call("Page.printToPDF", map[string]any{"paperWidth": 8.27, "paperHeight": 11.69}, &paper)
	file := filepath.Join(lab.dir, "report-large.pdf")
	if err := os.WriteFile(file, paper.Data, 0o644); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(do(t, exec.Command("pdftotext", file, "-")).stdout), " ")
	for _, want := range []string{"1000 of 10000 store paths shown.", "package-999-1.5", " more"} {
		if !strings.Contains(text, want) {
			t.Errorf("the paper lacks %q", want)
		}
	}
}
