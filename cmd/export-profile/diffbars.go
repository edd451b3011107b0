package main

// growthScale returns the scale of the bars of packages. Without columns, the bars have no cells.
func (d *difference) growthScale(columns int) (s barScale) {
	if columns == 0 {
		return s
	}
	s.width = columns / 8
	for _, p := range d.Packages {
		s.most = max(s.most, p.After-p.Before, p.Before-p.After)
	}
	return s
}

// bar draws how much a package grew or shrank.
func (p packageChange) bar(s barScale) string {
	switch growth := p.After - p.Before; {
	case s.width == 0:
		return ""
	case growth < 0:
		return s.bar(share{formerGlyph, -growth}) + "  "
	default:
		return s.bar(share{newGlyph, growth}) + "  "
	}
}

// bars draws what A and B share, and what a holder of A fetches to get B. Without columns it draws nothing.
func (d *difference) bars(columns int) string {
	if columns == 0 {
		return ""
	}
	a, b, shared := d.A.NarSize, d.B.NarSize, d.shared
	if d.Layers != nil {
		a, b, shared = d.A.Size, d.B.Size, d.Layers.Had
	}
	rows := []sizeRow{
		{"A", []share{{thereGlyph, shared}, {formerGlyph, a - shared}}},
		{"B", []share{{thereGlyph, shared}, {newGlyph, b - shared}}},
	}
	if d.Layers != nil {
		rows = append(rows, d.Layers.rows(d.Layers.Fetch)...)
	}
	return drawRows(rows, columns) + string(thereGlyph) + " in both, " + string(formerGlyph) + " only in A, " + string(newGlyph) + " only in B\n"
}
