package report

import (
	"cmp"
	"slices"
)

// licence is a row of the table of licences: the objects under a licence, or under the same combination of licences.
type licence struct {
	name    string // "" if it is unknown
	objects []int  // the largest first
	bytes   int64
}

// byLicence groups the objects by their licence, the largest group first. The objects without a known licence come last.
func (r *Report) byLicence() []licence {
	at := make(map[string]int)
	var all []licence
	for i, o := range r.Objects {
		n, ok := at[o.Licence]
		if !ok {
			n = len(all)
			at[o.Licence] = n
			all = append(all, licence{name: o.Licence})
		}
		all[n].objects = append(all[n].objects, i)
		all[n].bytes += o.Size
	}
	for _, l := range all {
		slices.SortStableFunc(l.objects, func(a, b int) int { return cmp.Compare(r.Objects[b].Size, r.Objects[a].Size) })
	}
	unknown := func(l licence) int {
		if l.name == "" {
			return 1
		}
		return 0
	}
	slices.SortFunc(all, func(a, b licence) int {
		return cmp.Or(cmp.Compare(unknown(a), unknown(b)), cmp.Compare(b.bytes, a.bytes), cmp.Compare(a.name, b.name))
	})
	return all
}

// licences writes the table of licences.
func (p page) licences(r *Report) {
	p.WriteString("<section id=\"licences\">\n<h2>Licences</h2>\n")
	defer p.WriteString("</section>\n")
	if !r.Licensed {
		p.WriteString("<p class=\"note\">A store does not record licences. <code>--metadata FILE</code> brings them here.</p>\n")
		return
	}
	all := r.byLicence()
	p.tableOf("licences", "Bytes by licence, as the metadata declare it. A package with several licences is in the row of their combination.",
		"Licence", "#Size", "Share", "#Store paths", "Packages")
	total := max(r.total(), 1)
	shown := 0
	for _, l := range all[:min(len(all), maxRows)] {
		name, class := l.name, "licence"
		if name == "" {
			name, class = "not known", "unknown"
		}
		p.put("<tr><th scope=\"row\">%s</th><td class=\"number\">%s</td><td class=\"share\">", name, size(l.bytes))
		p.bar(total, stretch{class, l.bytes})
		p.put("<span class=\"percent\">%.1f %%</span></td><td class=\"number\">%d</td><td>", share(l.bytes, total), len(l.objects))
		p.packages(r, l.objects, maxRows-shown)
		shown += len(l.objects)
		p.WriteString("</td></tr>\n")
	}
	p.WriteString("</tbody>\n</table></div>\n")
	p.left(len(all), "licence", "those with the most bytes", "sbom")
}

// packages writes the names of objects, at most this many. Long lists are folded.
func (p page) packages(r *Report, objects []int, most int) {
	const few = 5
	long := len(objects) > few
	if long {
		p.put("<details class=\"contents\"><summary>%s and %d more</summary>", r.Objects[objects[0]].Name, len(objects)-1)
	}
	some := objects[:max(1, min(len(objects), most))]
	p.WriteString("<ul class=\"packed\">")
	for _, o := range some {
		p.WriteString("<li>")
		p.object(r, o, r.Objects[o].Name)
		p.WriteString("</li>")
	}
	if left := len(objects) - len(some); left > 0 {
		p.put("<li>and %d more</li>", left)
	}
	p.WriteString("</ul>")
	if long {
		p.WriteString("</details>")
	}
}
