package report

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"strings"
)

// Write writes the HTML page.
func Write(w io.Writer, r *Report) error {
	if err := r.check(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	p := page{bufio.NewWriter(w)}
	p.head(r)
	p.WriteString("<main>\n")
	p.identity(r)
	var pairs []layerPair
	if r.Previous != nil {
		pairs = r.pairLayers()
		p.since(r, pairs)
	}
	p.charts(r)
	p.findings(r)
	if r.Previous == nil {
		p.since(r, nil)
	}
	p.licences(r)
	if r.Previous != nil {
		p.sides(r, pairs)
	}
	p.objects(r)
	p.layers(r)
	p.WriteString("</main>\n")
	p.aside()
	p.WriteString("</div>\n")
	p.foot()
	p.WriteString(`<script type="application/json" id="data">`)
	if err := writeJSON(p, r.data().columns()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	p.WriteString("</script>\n<script>" + script + "</script>\n</body>\n</html>\n")
	if err := p.Flush(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func (p page) head(r *Report) {
	p.put(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="%s">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>%s: what is inside, and why</title>
`, policy(), r.Title)
	p.WriteString("<style>" + style + "</style>\n</head>\n<body>\n")
	p.put(`<a class="skip" href="#paths">To the table of store paths</a>
<header>
<p class="what">%s</p>
<h1>%s</h1>
<ul class="figures">
`, r.subtitle(), r.Title)
	figure := func(value, what string) { p.put("<li><b>%s</b> %s</li>\n", value, what) }
	plural := func(n int, noun string) (string, string) {
		value, what, _ := strings.Cut(count(n, noun), " ")
		return value, what
	}
	figure(size(r.total()), "in the store")
	if r.Image.Blobs > 0 {
		figure(size(r.Image.Blobs), "compressed")
	}
	figure(plural(len(r.Objects), "store path"))
	figure(plural(len(r.Layers), "layer"))
	if r.Checked {
		errors := 0
		for _, f := range r.Findings {
			if f.Severity == "error" {
				errors++
			}
		}
		figure(plural(errors, "error"))
		figure(plural(len(r.Findings)-errors, "warning"))
	}
	if r.Previous != nil {
		value, what := plural(len(r.Previous.Changes), "package")
		figure(value, what+" changed")
	}
	sides := ""
	since := [2]string{"", `<a href="#since">Changes</a> `} // before or behind the others
	if r.Previous != nil {
		since = [2]string{since[1], ""}
		sides = `<a href="#sides">Layers and paths that changed</a> `
	}
	p.WriteString(`</ul>
<nav aria-label="Sections"><a href="#which">Which image it is</a> ` + since[0] + `<a href="#large">What is large</a> <a href="#why">Why it is here</a> ` +
		`<a href="#check">Findings</a> ` + since[1] + `<a href="#licences">Licences</a> ` + sides + `<a href="#closure">Store paths</a> <a href="#image">Layers</a></nav>
</header>
<noscript><p class="note">Without JavaScript, the page has no charts and no search. `)
	if r.large() {
		p.put("The tables have at most %d rows.", maxRows)
	} else {
		p.WriteString("The tables have everything.")
	}
	p.WriteString(`</p></noscript>
<div class="columns">
`)
}

// subtitle says what the title names.
func (r *Report) subtitle() string {
	switch {
	case r.Image.Digest != "" && r.Previous != nil:
		return "An image, what is inside, and what changed since " + r.Previous.Image.Name
	case r.Image.Digest != "":
		return "An image, what is inside, and why"
	}
	return "What is inside, and why"
}

// aside writes the places for the search and for the details of the chosen object. The script fills them.
func (p page) aside() {
	p.WriteString(`<aside class="script" aria-label="Search and details">
<form role="search" class="search">
<label for="search">Search store paths</label>
<input type="search" id="search" autocomplete="off" spellcheck="false" placeholder="openssl" aria-describedby="status">
</form>
<p id="status" role="status"></p>
<p id="said" role="status" class="spoken"></p>
<ul id="results" class="plain"></ul>
<div id="panel"></div>
</aside>
`)
}

func (p page) charts(r *Report) {
	p.WriteString(`<section id="large" class="script">
<h2>What is large</h2>
<fieldset class="choice"><legend>Treemap by</legend>
<label><input type="radio" name="by" value="package" checked> package</label>
<label><input type="radio" name="by" value="layer"> layer</label>
<label><input type="radio" name="by" value="reason"> what brings it in</label>
</fieldset>
<div id="map" class="chart"></div>
<p class="note"></p>
<ul class="legend" aria-label="Legend">
<li><i class="root"></i> the profile itself</li>
<li><i class="direct"></i> the profile refers to it</li>
<li><i class="one"></i> only one package brings it in</li>
<li><i class="shared"></i> several packages share it</li>
<li><i class="other"></i> not from the store</li>
`)
	if r.Previous != nil {
		p.WriteString("<li><i class=\"fresh\"></i> new since the previous image</li>\n")
	}
	p.WriteString(`</ul>
</section>
<section id="why" class="script">
<h2>Why it is here</h2>
<p class="note">The profile is in the middle. Each package hangs from the package that brings it in by the shortest chain.
Choose a package to see its chain, what it needs (dashed) and what needs it (dotted). Drag to move; use Ctrl and the wheel to zoom.</p>
<div class="tools">
<button type="button" id="larger">Larger</button>
<button type="button" id="smaller">Smaller</button>
<button type="button" id="whole">Show all</button>
<label><input type="checkbox" id="all" autocomplete="off"> draw all references</label>
</div>
<div id="graph" class="chart"></div>
</section>
`)
}

func (p page) findings(r *Report) {
	p.WriteString("<section id=\"check\">\n<h2>Findings</h2>\n")
	defer p.WriteString("</section>\n")
	switch {
	case !r.Checked:
		p.WriteString("<p class=\"note\">The image was not checked.</p>\n")
		return
	case len(r.Findings) == 0:
		p.WriteString("<p class=\"note\">The check found nothing.</p>\n")
		return
	}
	p.tableOf("findings", "Problems that the check found", "Severity", "Path", "Reason")
	at := make(map[string]int, len(r.Objects))
	for i, o := range r.Objects {
		at[o.Path] = i
	}
	for _, f := range r.Findings[:min(len(r.Findings), maxRows)] {
		class := "warning"
		if f.Severity == "error" {
			class = "error"
		}
		p.put("<tr><td><span class=\"severity %s\">%s</span></td><td class=\"path\">", class, f.Severity)
		name, _, _ := strings.Cut(strings.TrimPrefix(f.Path, r.StoreDir.String()+"/"), "/")
		i, ok := at[name]
		if !ok {
			i = None
		}
		p.object(r, i, f.Path)
		p.put("</td><td>%s</td></tr>\n", f.Reason)
	}
	p.WriteString("</tbody>\n</table></div>\n")
	p.left(len(r.Findings), "finding", "the first", "check")
}

// table begins a table. The title of a column of numbers has the prefix #, which is not shown.
func (p page) table(caption string, columns ...string) {
	p.put("<div class=\"scroll\"><table><caption>%s</caption>\n", caption)
	p.titles(columns)
}

// tableOf is like table, for one whose columns have widths in the style of a class.
func (p page) tableOf(class, caption string, columns ...string) {
	p.put("<div class=\"scroll\"><table class=\"%s\"><caption>%s</caption>\n", class, caption)
	p.titles(columns)
}

// subtable is like tableOf. Its caption is a heading below that of the section.
func (p page) subtable(class, caption string, columns ...string) {
	p.put("<div class=\"scroll\"><table class=\"%s\"><caption><h3>%s</h3></caption>\n", class, caption)
	p.titles(columns)
}

// titles writes the first row, and begins the others.
func (p page) titles(columns []string) {
	p.WriteString("<thead><tr>")
	for _, c := range columns {
		title, isNumber := strings.CutPrefix(c, "#")
		class := ""
		if isNumber {
			class = " class=\"number\""
		}
		p.put("<th scope=\"col\""+class+">%s</th>", title)
	}
	p.WriteString("</tr></thead>\n<tbody>\n")
}

// object writes a button that chooses object i, or only the text if i is None.
func (p page) object(r *Report, i int, text string) {
	if i == None {
		p.put("%s", text)
		return
	}
	p.put("<button type=\"button\" class=\"pick\" data-object=\"%d\">%s</button>", i, text)
}

// names writes the names of store paths without their hashes.
func (p page) names(all []string) {
	for i, name := range all {
		if i > 0 {
			p.WriteString(", ")
		}
		if len(name) > 33 && name[32] == '-' {
			name = name[33:]
		}
		p.put("%s", name)
	}
	if len(all) == 0 {
		p.WriteString("–")
	}
}

func (p page) foot() {
	p.WriteString(`<footer>
<p>Made by export-profile. Its commands <code>closure</code>, <code>why</code> and <code>plan</code> show the same in a terminal.
This page loads nothing and sends nothing.</p>
<details><summary>Licences of the script in this page</summary><pre>` + html.EscapeString(licences) + `</pre></details>
</footer>
`)
}
