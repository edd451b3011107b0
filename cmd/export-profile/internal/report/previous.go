package report

// Previous is the image that the page compares with: the one that the new image replaces.
type Previous struct {
	Image   Image
	Objects []Object        // its visible objects, with Path, Name, Package, Version and Size only
	Altered []int           // indexes of objects of the new image that have other files under the same path
	Changes []Change        // of packages, from this image to the new one
	Layers  []PreviousLayer // without those of a base image, if the new image is not made yet
	Fetch   Fetch
}

// PreviousLayer is a layer of the previous image.
type PreviousLayer struct {
	Title string
	Blob  int64
	Parts []string // base names of its objects, and titles of other files
	Moved []string // base names of its objects that are in other layers of the new image
	Now   int      // the index of the same layer in the new image, or None
}

// Fetch says what a machine that has the previous image fetches to get the new one.
type Fetch struct {
	Layers   int64 // bytes of the blobs that it lacks, without those of Unbuilt
	Had      int64 // bytes of the blobs that it has
	Unbuilt  int   // layers whose blobs are not made yet
	Unpacked int64 // bytes of these layers

	Chunks        *FetchChunks // nil if no layer that it lacks has chunks
	ChunksUnknown string       // why Chunks is unknown
}

// FetchChunks says what the machine fetches if it fetches only the chunks that it lacks.
type FetchChunks struct {
	Contents int64 `json:"contentBytes"` // of files
	Tables   int64 `json:"tableBytes"`   // of the layers that it lacks
	Whole    int64 `json:"wholeBytes"`   // other blobs that it lacks
	Ranges   int   `json:"ranges"`       // of contents
}

func (c *FetchChunks) bytes() int64 { return c.Contents + c.Tables + c.Whole }

// layerPair is a row of the table of layers side by side.
type layerPair struct {
	before, now int // indexes of layers, or None
	what        string
}

// pairLayers pairs the layers of both images, in the order of the new one. A new layer replaces the layer, not kept,
// with which it shares the most bytes by package. Layers without a successor come last.
func (r *Report) pairLayers() []layerPair {
	before := make([]int, len(r.Layers)) // for each layer of the new image
	for i := range before {
		before[i] = None
	}
	gone := make(map[int]bool)
	for i, l := range r.Previous.Layers {
		if l.Now != None {
			before[l.Now] = i
		} else {
			gone[i] = true
		}
	}
	same := make([]bool, len(r.Layers))
	for i, b := range before {
		same[i] = b != None
	}
	r.replace(before, gone)
	var pairs []layerPair
	for i, l := range r.Layers {
		pair := layerPair{before[i], i, "new"}
		switch {
		case same[i] || l.State == StateBase && r.Image.Digest == "":
			pair.what = "same"
		case before[i] != None:
			pair.what = "replaced"
		}
		pairs = append(pairs, pair)
	}
	for i := range r.Previous.Layers {
		if gone[i] {
			pairs = append(pairs, layerPair{i, None, "gone"})
		}
	}
	return pairs
}

// replace pairs new layers with layers that are gone, and removes these from gone. It takes the pairs with the most common bytes first.
func (r *Report) replace(before []int, gone map[int]bool) {
	holds := make([]map[string]bool, len(r.Previous.Layers)) // packages, and titles of other files
	packages := make(map[string]string)
	for _, o := range r.Previous.Objects {
		packages[o.Path] = o.Package
	}
	for i, l := range r.Previous.Layers {
		holds[i] = make(map[string]bool)
		for _, part := range l.Parts {
			name, ok := packages[part]
			if !ok {
				name = part
			}
			holds[i][name] = true
		}
	}
	common := make([][]int64, len(r.Layers)) // bytes of each layer in packages of each previous layer
	for n, l := range r.Layers {
		common[n] = make([]int64, len(r.Previous.Layers))
		for _, part := range l.Parts {
			name, bytes := part.Title, part.Size
			if part.Object != None {
				name, bytes = r.Objects[part.Object].Package, r.Objects[part.Object].Size
			}
			for i := range r.Previous.Layers {
				if holds[i][name] {
					common[n][i] += bytes
				}
			}
		}
	}
	for {
		var most int64
		layer, predecessor := None, None
		for n, l := range r.Layers {
			for i, bytes := range common[n] {
				if before[n] == None && l.State != StateBase && gone[i] && bytes > most {
					most, layer, predecessor = bytes, n, i
				}
			}
		}
		if layer == None {
			return
		}
		before[layer] = predecessor
		delete(gone, predecessor)
	}
}
