package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// settled waits until what was begun is drawn.
const settled = "new Promise(done => setTimeout(() => requestAnimationFrame(() => setTimeout(done, 0)), 350))"

// cleanPage fails if a page has complained.
func cleanPage(t *testing.T, p *page) {
	t.Helper()
	if complaints := p.complaints(); len(complaints) > 0 {
		t.Errorf("the page complains:\n%s", strings.Join(complaints, "\n"))
	}
}

// TestReport: what a person does with the page, in a real browser: choosing says what `why` says, search finds,
// everything is reached from the keyboard, names are text, and nothing is asked of a network.
func TestReport(t *testing.T) {
	u := lab.user
	dir := u.scratch(t)
	writeFile(t, dir+"/data", "data")
	u.export(t, dir, "report", "--profile", lab.profile, "--add", "data:/srv/<img src=x onerror=alert(1)>", "page.html")
	u.export(t, dir, "report", "--profile", lab.profile, "--add", "data:/srv/<img src=x onerror=alert(1)>", "again.html")
	if readFile(t, dir+"/page.html") != readFile(t, dir+"/again.html") {
		t.Error("a second page has other bytes")
	}

	p := browse(t)
	p.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": 1400, "height": 1000, "deviceScaleFactor": 1, "mobile": false}, nil)
	p.open("file://" + dir + "/page.html")
	p.eval(nil, "%s.then(() => 1)", settled)
	cleanPage(t, p)
	var images int
	if p.eval(&images, "document.images.length"); images != 0 {
		t.Errorf("the page has %d images; want a name that is text", images)
	}
	var directive string
	p.eval(&directive, `new Promise(done => {
		document.addEventListener('securitypolicyviolation', e => done(e.effectiveDirective))
		fetch('http://127.0.0.1:9/').catch(() => {})
	})`)
	if directive != "connect-src" {
		t.Errorf("a request violates %q; want connect-src", directive)
	}
	p.events = nil // which say so

	// Both charts, from all largest to less large.
	var rows []int
	p.eval(&rows, "[...document.querySelectorAll('#paths tbody tr')].map(tr => +tr.dataset.object)")
	if len(rows) != len(lab.closure) {
		t.Fatalf("the table has %d rows; want %d", len(rows), len(lab.closure))
	}
	for i, object := range rows[:6] {
		var path string
		p.eval(&path, "document.querySelector('tr[data-object=\"%d\"] small').textContent", object)
		p.click("#whole")
		p.eval(nil, "%s.then(() => 1)", settled)
		chart := []string{"#map .cell", "#graph .node", "#paths .pick"}[i%3]
		// A dot may be under another one: the event goes to the right one, by the mouse where that hits.
		if strings.HasPrefix(chart, "#graph") {
			p.eval(nil, "document.querySelector('#graph .node[data-object=\"%d\"]').dispatchEvent(new MouseEvent('click', { bubbles: true })) && 1", object)
		} else {
			p.click(fmt.Sprintf("%s[data-object=\"%d\"]", chart, object))
		}
		p.eval(nil, "%s.then(() => 1)", settled)

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
			want[0].Chain = nil // it is said in words
		}
		for i := range want[0].Chain {
			want[0].Chain[i] = filepath.Base(want[0].Chain[i])[33:]
		}
		if !slices.Equal(chain, want[0].Chain) {
			t.Errorf("%s chosen in %s: the chain is %q; want %q", path, chart, chain, want[0].Chain)
		}
		leave := fmt.Sprintf("%d path", len(want[0].Exclusive))
		if text := p.text("#panel"); !strings.Contains(text, leave) || !strings.Contains(text, path) {
			t.Errorf("%s chosen in %s: the page says %q; want the path, and that %ss would leave", path, chart, text, leave)
		}
		if said := p.text("#said"); !strings.Contains(said, path[33:]+": ") || !strings.Contains(said, leave) {
			t.Errorf("%s chosen in %s: to those who don't see it, the page says %q", path, chart, said)
		}
		var marked int
		p.eval(&marked, "document.querySelectorAll('#map .chosen, #graph .node.chosen, #paths tr.chosen').length")
		if marked != 3 {
			t.Errorf("%s chosen in %s: it is marked in %d places; want 3", path, chart, marked)
		}
	}

	// Back goes to what was chosen before.
	was := p.text("#panel h2")
	p.eval(nil, "history.back()")
	p.eval(nil, "%s.then(() => 1)", settled)
	if is := p.text("#panel h2"); is == was {
		t.Errorf("back leaves %q chosen", is)
	}

	// Search, then Enter.
	p.click("#search")
	p.write("libc6")
	var found, shown int
	p.eval(&found, "document.querySelectorAll('#results li').length")
	p.eval(&shown, "[...document.querySelectorAll('#paths tbody tr')].filter(tr => !tr.hidden).length")
	if status := p.text("#status"); found == 0 || shown != found || !strings.HasPrefix(status, fmt.Sprintf("%d of %d paths found", found, len(rows))) {
		t.Errorf("search finds %d and shows %d, and says %q", found, shown, status)
	}
	p.press("Enter")
	p.eval(nil, "%s.then(() => 1)", settled)
	if text := p.text("#panel h2"); !strings.HasPrefix(text, "libc6") {
		t.Errorf("Enter after a search for libc6 chooses %q", text)
	}

	// The keyboard alone: along the graph, and in the treemap.
	for _, chart := range []string{"#graph .node", "#map .cell"} {
		p.eval(nil, "document.querySelector('%s[tabindex=\"0\"]').focus()", chart)
		for _, key := range []string{"Home", "ArrowLeft", "ArrowRight", "Enter"} {
			p.press(key)
		}
		p.eval(nil, "%s.then(() => 1)", settled)
		var focused, chosen string
		p.eval(&focused, "document.activeElement.dataset.object ?? ''")
		p.eval(&chosen, "document.querySelector('#paths tr.chosen')?.dataset.object ?? ''")
		if focused == "" || focused != chosen {
			t.Errorf("Enter in %s chooses object %q; want %q, which has the focus", chart, chosen, focused)
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
		t.Errorf("with a name and a size there are %v; want some options, and %d treeitems", roles, len(rows))
	}

	// The table sorts.
	p.click("#paths th[data-sort=closure] button")
	var sorted bool
	p.eval(&sorted, `(() => {
		const model = JSON.parse(document.getElementById('data').textContent).objects
		const sizes = [...document.querySelectorAll('#paths tbody tr')].map(tr => model[tr.dataset.object].closure)
		return sizes.every((s, i) => i === 0 || s <= sizes[i - 1])
	})()`)
	if !sorted {
		t.Error("a click on its title does not sort a column, the largest first")
	}

	// Dark, and on paper.
	colour := func(features ...any) (c string) {
		p.call("Emulation.setEmulatedMedia", map[string]any{"features": features}, nil)
		p.eval(&c, "getComputedStyle(document.body).backgroundColor")
		return c
	}
	scheme := func(value string) any { return map[string]any{"name": "prefers-color-scheme", "value": value} }
	if light, dark := colour(scheme("light")), colour(scheme("dark")); light == dark {
		t.Errorf("light or dark, the page is %s", light)
	}
	var paper struct{ Data []byte }
	p.call("Page.printToPDF", map[string]any{}, &paper)
	if !strings.HasPrefix(string(paper.Data), "%PDF") {
		t.Error("the page does not print")
	}
	cleanPage(t, p)

	// An address that says what is chosen.
	p.open("about:blank")
	p.open("file://" + dir + "/page.html#" + filepath.Base(lab.object))
	if text := p.text("#panel .path"); text != lab.object {
		t.Errorf("the page at an address with %q chooses %q", lab.object, text)
	}
}

// TestReportLarge: a page of 2,000 store paths is fit for use. The times are those of the processor, not of the clock.
func TestReportLarge(t *testing.T) {
	u := lab.user
	dir := u.scratch(t)
	r := rand.New(rand.NewPCG(1, 2))
	const n = 2000
	var names [n]string
	for i := range names {
		names[i] = fmt.Sprintf("%032d-package-%d-1.%d", i, i, i%7)
	}
	store := filepath.Join(dir, "root/nix/store")
	if err := os.MkdirAll(store, 0o755); err != nil {
		t.Fatal(err)
	}
	for i, name := range names { // each refers to some behind it, and is needed by the one before it or by the first
		var content strings.Builder
		if i+1 < n && i%5 != 4 {
			fmt.Fprintln(&content, names[i+1])
		}
		for range 8 {
			if j := i + 1 + r.IntN(100); j < n {
				fmt.Fprintln(&content, names[j])
			}
		}
		if i == 0 {
			for j := 5; j < n; j += 5 {
				fmt.Fprintln(&content, names[j])
			}
		}
		content.WriteString(strings.Repeat("x", r.IntN(1+r.IntN(100_000))))
		writeFile(t, filepath.Join(store, name), content.String())
	}
	u.export(t, dir, "report", "--no-cache", "--from", "root", "--profile", names[0], "page.html")

	p := browse(t)
	p.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": 1400, "height": 1000, "deviceScaleFactor": 1, "mobile": false}, nil)
	p.call("Performance.enable", map[string]any{"timeDomain": "threadTicks"}, nil)
	last := 0.0
	busy := func(what string, most float64) {
		t.Helper()
		p.eval(nil, "%s.then(() => 1)", settled)
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
				t.Logf("%s: %.2f s of the processor", what, took)
				if took > most {
					t.Errorf("%s takes %.2f s; want at most %.1f", what, took, most)
				}
			}
		}
	}
	p.open("file://" + dir + "/page.html")
	busy("load", 10)
	var rows int
	if p.eval(&rows, "document.querySelectorAll('#paths tbody tr').length"); rows != n {
		t.Errorf("the table has %d rows; want %d", rows, n)
	}
	p.click("#map .cell:nth-child(40)")
	busy("click", 2)
	if p.text("#panel .path") == "" {
		t.Error("a click chooses nothing")
	}
	p.click("#search")
	busy("focus", 2)
	p.write("package-17")
	busy("search", 2)
	if text := p.text("#status"); !strings.HasPrefix(text, "111 of 2000 paths found") {
		t.Errorf("the search says %q", text)
	}
	p.click("input[value=layer]")
	busy("by layer", 3)
	cleanPage(t, p)
}
