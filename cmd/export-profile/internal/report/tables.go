package report

import (
	"cmp"
	"slices"
	"strings"
)

const (
	maxRows  = 500 // of a table. The script shows further store paths.
	maxPaths = 200 // of the store paths that changed, in a large report
	maxParts = 16  // of a layer, in a large report. The script shows the others.
)

// large reports whether the tables leave out some store paths, since browsers become slow with many.
func (r *Report) large() bool { return len(r.Objects) > maxRows }

// left says how many rows a table leaves out of all, and which command has them.
func (p page) left(all int, noun, which, command string) {
	p.leftOf(maxRows, all, noun, which, command)
}

// leftOf is like left, for a table with another limit.
func (p page) leftOf(most, all int, noun, which, command string) {
	if all > most {
		p.put("<p class=\"note\">These are %d of %s, %s. <code>export-profile %s</code> lists all.</p>\n", most, count(all, noun), which, command)
	}
}

// largestChanges returns the changes with the largest differences in size, in their order.
func largestChanges(all []Change) []Change {
	if len(all) <= maxRows {
		return all
	}
	difference := func(c Change) int64 { return max(c.difference(), -c.difference()) }
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(difference(all[b]), difference(all[a])) })
	order = order[:maxRows]
	slices.Sort(order)
	some := make([]Change, maxRows)
	for i, n := range order {
		some[i] = all[n]
	}
	return some
}

// objects writes the table of all store objects, the largest first.
func (p page) objects(r *Report) {
	which := "All store paths"
	if r.large() {
		which = "Store paths"
	}
	p.WriteString("<section id=\"closure\">\n<h2>Store paths</h2>\n" +
		"<div class=\"scroll\"><table id=\"paths\"><caption>" + which + ", with their own size, their size with all they need, " +
		"and how much would leave the image without them</caption>\n<thead><tr>")
	for _, column := range [][2]string{
		{"name", "Package"}, {"size", "#Own size"}, {"closure", "#With all it needs"},
		{"exclusive", "#Would leave"}, {"users", "#Needed by"}, {"layer", "#Layer"},
	} {
		title, isNumber := strings.CutPrefix(column[1], "#")
		class, sorted := "", ""
		if isNumber {
			class = " class=\"number\""
		}
		if column[0] == "size" {
			sorted = " aria-sort=\"descending\""
		}
		p.put("<th scope=\"col\" data-sort=\""+column[0]+"\""+class+sorted+"><button type=\"button\">%s</button></th>", title)
	}
	p.WriteString("</tr></thead>\n<tbody>\n")
	exclusive, layers, isNew := r.exclusive(), r.layerOf(), r.isNew()
	users := make([]int, len(r.Objects))
	order := make([]int, len(r.Objects))
	for i, o := range r.Objects {
		order[i] = i
		for _, j := range o.References {
			users[j]++
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(r.Objects[b].Size, r.Objects[a].Size) })
	for _, i := range order[:min(len(order), maxRows)] {
		o := r.Objects[i]
		fresh, layer := "", "–"
		if isNew[i] {
			fresh = " <span class=\"new\">new</span>"
		}
		if layers[i] != None {
			layer = r.Layers[layers[i]].Title
		}
		p.put("<tr data-object=\"%d\"><th scope=\"row\"><button type=\"button\" class=\"pick\" data-object=\"%d\">%s</button>"+fresh+
			"<small>%s</small></th><td class=\"number\">%s</td><td class=\"number\">%s</td><td class=\"number\">%s</td>"+
			"<td class=\"number\">%d</td><td class=\"number\">%s</td></tr>\n",
			i, i, o.Name, o.Path, size(o.Size), size(o.Closure), size(exclusive[i]), users[i], strings.TrimPrefix(layer, "layer "))
	}
	p.WriteString("</tbody>\n</table></div>\n")
	if r.large() {
		p.WriteString("<div id=\"more\">")
		p.left(len(r.Objects), "store path", "the largest", "closure")
		p.WriteString("</div>\n")
	}
	p.WriteString("</section>\n")
}

func (p page) layers(r *Report) {
	p.WriteString("<section id=\"image\">\n<h2>Layers</h2>\n")
	p.table("Layers of the image, the lowest first", "Layer", "State", "#Visible", "#Blob", "Contents")
	for n, l := range r.Layers {
		var bytes int64
		for _, part := range l.Parts {
			if part.Object != None {
				bytes += r.Objects[part.Object].Size
			} else {
				bytes += part.Size
			}
		}
		blob := "–"
		if l.Blob > 0 {
			blob = size(l.Blob)
		}
		state := string(l.State)
		if state == "" {
			state = "–"
		}
		p.put("<tr><th scope=\"row\" class=\"short\">%s</th><td>%s</td><td class=\"number\">%s</td><td class=\"number\">%s</td><td>", l.Title, state, size(bytes), blob)
		const few = 8
		long := len(l.Parts) > few
		if long {
			p.put("<details class=\"contents\"><summary>%s</summary>", count(len(l.Parts), "part"))
		}
		shown := len(l.Parts)
		if r.large() {
			shown = min(shown, maxParts)
		}
		for i, part := range l.Parts[:shown] {
			if i > 0 {
				p.WriteString(", ")
			}
			if part.Object != None {
				p.object(r, part.Object, r.Objects[part.Object].Name)
			} else {
				p.put("%s", part.Title)
			}
		}
		if left := len(l.Parts) - shown; left > 0 {
			p.put(", <button type=\"button\" class=\"parts\" data-layer=\"%d\" data-shown=\"%d\">and %d more</button>", n, shown, left)
		}
		if long {
			p.WriteString("</details>")
		}
		if len(l.Gone) > 0 {
			p.WriteString("<p class=\"note\">also holds, but no longer shows: ")
			p.names(l.Gone)
			p.WriteString("</p>")
		}
		if len(l.Hides) > 0 {
			p.WriteString("<p class=\"note\">hides ")
			p.names(l.Hides)
			p.WriteString("</p>")
		}
		p.WriteString("</td></tr>\n")
	}
	p.WriteString("</tbody>\n</table></div>\n</section>\n")
}
