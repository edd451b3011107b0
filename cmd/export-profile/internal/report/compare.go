package report

import (
	"cmp"
	"slices"
)

// since writes how the previous image and the new one differ. pairs has the layers of both.
func (p page) since(r *Report, pairs []layerPair) {
	p.WriteString("<section id=\"since\">\n<h2>Changes since the previous image</h2>\n")
	defer p.WriteString("</section>\n")
	if r.Previous == nil {
		p.WriteString("<p class=\"note\">There is no previous image to compare with.</p>\n")
		return
	}
	p.summary(r, pairs)
	p.fetch(r)
	p.changes(r)
}

// sides writes the layers of both images side by side, and the store paths that differ.
func (p page) sides(r *Report, pairs []layerPair) {
	p.WriteString("<section id=\"sides\">\n<h2>Layers and store paths that changed</h2>\n")
	p.pairs(r, pairs)
	p.paths(r)
	p.WriteString("</section>\n")
}

// summary writes the changes as numbers in one sentence.
func (p page) summary(r *Report, pairs []layerPair) {
	counts := make(map[string]int)
	for _, pair := range pairs {
		counts[pair.what]++
	}
	added, gone := r.objectChanges()
	p.put("<p>%s the same, %d replaced, %d new, %d gone; %s new, %d gone; %s changed.</p>\n", count(counts["same"], "layer"),
		counts["replaced"], counts["new"], counts["gone"], count(added, "store path"), gone, count(len(r.Previous.Changes), "package"))
}

// fetch writes what a node fetches, as bars.
func (p page) fetch(r *Report) {
	f := r.Previous.Fetch
	whole := f.Layers + f.Had
	if f.Unbuilt > 0 {
		p.put("<h3>What a node fetches</h3>\n<p>A node that has the previous image keeps %s. It fetches %s that %s not built yet, of %s unpacked", size(f.Had),
			count(f.Unbuilt, "layer"), are(f.Unbuilt), size(f.Unpacked))
		if f.Layers > 0 {
			p.put(", and %s of others", size(f.Layers))
		}
		p.WriteString(".</p>\n")
		return
	}
	p.subtable("nodes", "What a node fetches", "A node that …", "#Fetches", "Of the whole image")
	row := func(who string, bytes int64, stretches ...stretch) {
		p.put("<tr><th scope=\"row\">%s</th><td class=\"number\">%s</td><td class=\"share\">", who, size(bytes))
		p.bar(max(whole, bytes), stretches...)
		p.put("<span class=\"percent\">%.1f %%</span></td></tr>\n", share(bytes, whole))
	}
	row("has neither image", whole, stretch{"whole", whole})
	row("has the previous image, and fetches whole layers", f.Layers, stretch{"whole", f.Layers})
	if c := f.Chunks; c != nil {
		row("has the previous image, and fetches chunks", c.bytes(), stretch{"contents", c.Contents}, stretch{"tables", c.Tables}, stretch{"whole", c.Whole})
	}
	p.WriteString("</tbody>\n</table></div>\n")
	switch c := f.Chunks; {
	case c != nil:
		p.put("<ul class=\"legend\"><li><i class=\"contents\"></i> %s of files in %s</li><li><i class=\"tables\"></i> %s of tables</li>"+
			"<li><i class=\"whole\"></i> %s of whole blobs</li></ul>\n", size(c.Contents), count(c.Ranges, "range"), size(c.Tables), size(c.Whole))
	case f.ChunksUnknown != "":
		p.put("<p class=\"note\">What it fetches by chunks is unknown: %s.</p>\n", f.ChunksUnknown)
	case f.Layers > 0:
		p.WriteString("<p class=\"note\">No layer that it lacks has chunks. <code>--compression zstd:chunked</code> makes layers with chunks.</p>\n")
	}
}

// pairs writes the layers of both images side by side.
func (p page) pairs(r *Report, pairs []layerPair) {
	p.subtable("sides pair", "Layers side by side", "Layer", "Before", "Now", "#Fetched")
	for _, pair := range pairs {
		p.put("<tr class=\"pair-%s\"><th scope=\"row\" class=\"short\"><span class=\"change pair-%s\">%s</span></th><td>", pair.what, pair.what, pair.what)
		if pair.before == None {
			p.WriteString("–")
		} else {
			l := r.Previous.Layers[pair.before]
			p.put("<b>%s</b> %s<br>", l.Title, size(l.Blob))
			p.firstNames(l.Parts)
			if moved := r.movedFrom(l, pair.now); len(moved) > 0 {
				p.WriteString("<p class=\"note\">now in other layers: ")
				p.firstNames(moved)
				p.WriteString("</p>")
			}
		}
		p.WriteString("</td><td>")
		fetched := ""
		if pair.now == None {
			p.WriteString("–")
		} else {
			l := r.Layers[pair.now]
			p.put("<b>%s</b> %s<br>", l.Title, orNotBuilt(l.Blob))
			switch {
			case pair.what != "same":
				fetched = orNotBuilt(l.Blob)
				p.firstNames(r.partNames(l))
			case len(l.Gone) > 0:
				fetched = "nothing"
				p.WriteString("no longer uses ")
				p.firstNames(l.Gone)
			default:
				fetched = "nothing"
				p.WriteString("the same files")
			}
		}
		p.put("</td><td class=\"number\">%s</td></tr>\n", fetched)
	}
	p.WriteString("</tbody>\n</table></div>\n")
}

// movedFrom returns the objects of a previous layer that are in other layers than the one in its place, if any.
func (r *Report) movedFrom(l PreviousLayer, now int) []string {
	if now == None {
		return l.Moved
	}
	here := r.partNames(r.Layers[now])
	return slices.DeleteFunc(slices.Clone(l.Moved), func(name string) bool { return slices.Contains(here, name) })
}

func are(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func orNotBuilt(bytes int64) string {
	if bytes == 0 {
		return "not built"
	}
	return size(bytes)
}

// partNames returns the base names of a layer's objects, the largest first, and the titles of its other files.
func (r *Report) partNames(l Layer) (names []string) {
	bytes := func(p Part) int64 {
		if p.Object != None {
			return r.Objects[p.Object].Size
		}
		return p.Size
	}
	parts := slices.Clone(l.Parts)
	slices.SortStableFunc(parts, func(a, b Part) int { return cmp.Compare(bytes(b), bytes(a)) })
	for _, part := range parts {
		if part.Object != None {
			names = append(names, r.Objects[part.Object].Path)
		} else {
			names = append(names, part.Title)
		}
	}
	return names
}

// firstNames writes the first names without their hashes, and how many others there are.
func (p page) firstNames(all []string) {
	const few = 4
	p.names(all[:min(few, len(all))])
	if left := len(all) - few; left > 0 {
		p.put(", and %d more", left)
	}
}

// changes writes the packages that differ. If they are many, it begins with the largest differences, and folds the others.
func (p page) changes(r *Report) {
	changes := r.Previous.Changes
	if len(changes) == 0 {
		p.WriteString("<p>The packages are the same.</p>\n")
		return
	}
	some := largestChanges(changes)
	var most int64
	for _, c := range some {
		most = max(most, c.difference(), -c.difference())
	}
	const few = 12 // so there are never one or two more
	if len(some) <= few {
		p.packageTable("Packages that changed", some, most)
		return
	}
	const first = 10
	bySize := slices.Clone(some)
	slices.SortStableFunc(bySize, func(a, b Change) int {
		return cmp.Compare(max(b.difference(), -b.difference()), max(a.difference(), -a.difference()))
	})
	p.packageTable("Packages that changed most", bySize[:first], most)
	rest := bySize[first:]
	slices.SortStableFunc(rest, func(a, b Change) int { return cmp.Compare(a.Package, b.Package) })
	p.put("<details class=\"contents\"><summary>%d more packages</summary>", len(rest))
	p.packageTable("Other packages that changed", rest, most)
	p.WriteString("</details>\n")
	p.left(len(changes), "package", "those that grew or shrank most", "diff")
}

// packageTable writes a table of packages. Most is the largest difference of all, which the bars are drawn for.
func (p page) packageTable(caption string, some []Change, most int64) {
	p.subtable("packages", caption, "Package", "Change", "Before", "Now", "#Size", "#Difference", "")
	for _, c := range some {
		before, after := c.versions()
		p.put("<tr><th scope=\"row\">%s</th><td class=\"change %s\">%s</td><td>%s</td><td>%s</td><td class=\"number\">%s</td><td class=\"number\">%s</td><td class=\"share\">",
			c.Package, c.what(), c.what(), before, after, orDash(known(c.After)), signed(c.difference()))
		p.balance(most, c.difference())
		p.WriteString("</td></tr>\n")
	}
	p.WriteString("</tbody>\n</table></div>\n")
}

// paths writes the store paths that differ.
func (p page) paths(r *Report) {
	all := r.pathChanges()
	if len(all) == 0 {
		return
	}
	most := maxRows
	if r.large() {
		most = maxPaths
	}
	p.subtable("sides paths", "Store paths that changed, the largest differences first", "Change", "Before", "Now", "#Size before", "#Size now", "#Difference")
	object := func(o *Object) {
		if o == nil {
			p.WriteString("–")
			return
		}
		p.put("%s<small>%s</small>", o.Name, o.Path)
	}
	for _, c := range all[:min(len(all), most)] {
		p.put("<tr><th scope=\"row\" class=\"short\"><span class=\"change %s\">%s</span></th><td>", c.what, c.what)
		object(c.before)
		p.WriteString("</td><td>")
		object(c.now)
		before, now := "–", "–"
		if c.before != nil {
			before = size(c.before.Size)
		}
		if c.now != nil {
			now = size(c.now.Size)
		}
		p.put("</td><td class=\"number\">%s</td><td class=\"number\">%s</td><td class=\"number\">%s</td></tr>\n", before, now, signed(c.difference()))
	}
	p.WriteString("</tbody>\n</table></div>\n")
	p.leftOf(most, len(all), "changed store path", "the largest differences", "report --json")
}
