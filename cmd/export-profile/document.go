package main

// document is a document about an image, such as an SBOM or an attestation.
// In a registry it is attached to the image; beside a layout or an archive it is a file.
type document struct {
	kind      string // for people: "SBOM" or "attestation"
	flag      string // the flag that asks for it, as it was typed
	toFile    string // what to type so that it also gets a file, up to the file's name
	extension string // of its file
	mediaType string // of the content and of the artifact
	// annotations of the artifact, besides its time
	annotations map[string]string

	file    string // "" if it is only attached in a registry
	content []byte
	pending *pendingFile
}

// beside names the document's file after the image. A document of an image in a registry gets no file.
// ok is false if the image goes to standard output: then its user has to name a file.
func (d *document) beside(at place) (ok bool) {
	if name := besideName(at); name != "" {
		d.file = name + d.extension
	}
	return at.Archive != standardName
}

// result returns the document's file and the flag that asks for it.
func (d *document) result() resultFile { return resultFile{d.flag, d.file} }

// write writes the document into a pending file, unless it is only attached.
func (d *document) write(content []byte) (err error) {
	d.content = content
	d.pending, err = newPendingFile(d.file, string(content))
	return err
}

func removeDocuments(say *speaker, all []*document) {
	for _, d := range all {
		d.pending.remove(say)
	}
}

func publishDocuments(all []*document) error {
	for _, d := range all {
		if err := d.pending.publish(); err != nil {
			return err
		}
	}
	return nil
}
