package verify

import (
	"io"

	"github.com/export-profile/export-profile/rootfs"
)

// show shows a file or link to Options.File. Of a file of another program's layer it shows the content at once, else while the
// caller reads it, and the caller calls done afterwards.
func (w *walker) show(e *rootfs.Entry) (done func()) {
	done = func() {}
	if w.file == nil || e.Path == "" || !e.IsRegular() && !e.IsLink() {
		return done
	}
	to := w.file(w.layer.blob(), *e)
	if to == nil {
		return done
	}
	finish := func() { _ = to.Close() }
	if e.IsLink() {
		_, _ = io.WriteString(to, e.Target)
		finish()
		return done
	}
	if w.own == nil {
		_ = rootfs.Drain(io.TeeReader(&contentReader{w, e.Path}, to)) // contentReader reports an error
		finish()
		return done
	}
	open := e.Open
	e.Open = func() (io.ReadCloser, error) {
		r, err := open()
		if err != nil {
			return nil, err
		}
		return io.NopCloser(io.TeeReader(r, to)), nil
	}
	return finish
}
