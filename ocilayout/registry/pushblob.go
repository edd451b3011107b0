package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/export-profile/export-profile/ocilayout"
)

// putBlob pushes a blob unless the repository has it. It tries to mount it before it sends it.
func (p *Push) putBlob(ctx context.Context, b ocilayout.Blob) error {
	release, err := p.slot(ctx)
	if err != nil {
		return err
	}
	defer release()
	what := fmt.Sprintf("push blob %s to %s", b.Digest, p.to.Name())
	from, asked := p.mountSource(b), 0
	found := func(n func(*Stats) *int) error {
		p.count(func(s *Stats) { *n(s)++ })
		p.find(foundBlob{func(ctx context.Context) error { return p.resend(ctx, what, b) }, func(s *Stats) { *n(s)-- }})
		return nil
	}
	err = p.repo.try(p.scoped(ctx, ""), what, func(ctx context.Context) error {
		asked++
		there, err := p.ask(ctx, blobs, b.Descriptor, asked)
		switch {
		case err != nil:
			return err
		case there:
			return found(func(s *Stats) *int { return &s.Present })
		case from == "":
			return p.send(ctx, b, nil)
		}
		u, err := p.repo.begin(p.scoped(ctx, from), b.Digest, from) // the registry may refuse a token for both repositories
		if err == nil && u == nil {
			return found(func(s *Stats) *int { return &s.Mounted })
		}
		if err != nil {
			if status(err) == 0 && isTemporary(err) {
				return err
			}
			p.client.explain("%v", &Error{Do: fmt.Sprintf("%s: cannot mount it from %s", what, from), Status: status(err), Err: err})
			from = "" // sending needs only the other token
		}
		return p.send(ctx, b, u)
	})
	return aboutContent(err, b)
}

// aboutContent says that a registry has refused a blob in a way that may mean that its digest is wrong.
// Registries answer 400 or 422 to that, some without a code.
func aboutContent(err error, b ocilayout.Blob) error {
	var r *refusal
	if errors.As(err, &r) && r.upload && (r.StatusCode == http.StatusBadRequest || r.StatusCode == http.StatusUnprocessableEntity ||
		hasCode(err, errcode.ErrorCodeDigestInvalid)) {
		return &ocilayout.BlobError{Digest: b.Digest, Err: err}
	}
	return err
}

// ask asks whether the repository has a blob or a manifest. If the registry does not say, the thing counts as missing:
// the answer to sending it says more. n counts the questions, since temporary failures may come to an end.
func (p *Push) ask(ctx context.Context, kind string, d ispec.Descriptor, n int) (bool, error) {
	const most = 3
	there, err := p.repo.has(ctx, kind, d)
	if status(err) == 0 || isTemporary(err) && n < most {
		return there, err
	}
	p.client.explain("%v", &Error{Do: fmt.Sprintf("look for %s in %s", d.Digest, p.to.Name()), Status: status(err), Err: err})
	return false, nil
}

// putBytes pushes a small blob unless the repository has it.
func (p *Push) putBytes(ctx context.Context, d ispec.Descriptor, b []byte) error {
	what := fmt.Sprintf("push blob %s to %s", d.Digest, p.to.Name())
	asked := 0
	send := func(ctx context.Context) error {
		u, err := p.repo.begin(ctx, d.Digest, "")
		if err != nil {
			return err
		}
		return p.repo.upload(ctx, u, d, bytes.NewReader(b))
	}
	return p.repo.try(p.scoped(ctx, ""), what, func(ctx context.Context) error {
		asked++
		there, err := p.ask(ctx, blobs, d, asked)
		switch {
		case err != nil:
			return err
		case there:
			p.find(foundBlob{func(ctx context.Context) error { return p.repo.try(ctx, what, send) }, func(*Stats) {}})
			return nil
		}
		return send(ctx)
	})
}

// resend sends a blob that the registry said it has.
func (p *Push) resend(ctx context.Context, what string, b ocilayout.Blob) error {
	release, err := p.slot(ctx)
	if err != nil {
		return err
	}
	defer release()
	return aboutContent(p.repo.try(p.scoped(ctx, ""), what, func(ctx context.Context) error { return p.send(ctx, b, nil) }), b)
}

// slot waits until another blob may be transferred.
func (p *Push) slot(ctx context.Context) (release func(), err error) {
	select {
	case p.slots <- struct{}{}:
		return func() { <-p.slots }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// send sends a blob. Without an upload, it begins one.
func (p *Push) send(ctx context.Context, b ocilayout.Blob, u *upload) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	body, err := p.open(ctx, b, cancel)
	if err != nil {
		return err
	}
	defer body.Close()
	if u == nil {
		if u, err = p.repo.begin(ctx, b.Digest, ""); err != nil {
			return p.finishUpload(ctx, body, err)
		}
	}
	return p.finishUpload(ctx, body, p.repo.upload(ctx, u, b.Descriptor, body))
}

// finishUpload counts an upload, or takes back its progress if it failed.
func (p *Push) finishUpload(ctx context.Context, body *uploadBody, err error) error {
	n := body.end()
	if err == nil {
		p.count(func(s *Stats) { s.Sent++; s.SentBytes += n })
		return nil
	}
	body.progress(-n)
	if errors.Is(context.Cause(ctx), errStandstill) {
		return errStandstill
	}
	return err
}

func (p *Push) count(f func(*Stats)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.stats)
}

func (p *Push) open(ctx context.Context, b ocilayout.Blob, cancel context.CancelCauseFunc) (*uploadBody, error) {
	r, err := b.Open(ctx)
	if err != nil && b.Reuse != nil && b.Reuse.Evictable {
		err = &ocilayout.BlobError{Digest: b.Digest, Err: err} // it was there when it was looked up
	}
	if err != nil {
		return nil, err
	}
	if f, ok := r.(*os.File); ok {
		fi, err := f.Stat()
		if err == nil && fi.Size() != b.Size {
			err = fmt.Errorf("%q has %d bytes instead of %d", f.Name(), fi.Size(), b.Size)
		}
		if err != nil {
			f.Close()
			return nil, err
		}
	}
	s := &uploadBody{r: r, close: sync.OnceValue(r.Close), progress: p.client.options.Sent}
	if s.progress == nil {
		s.progress = func(int64) {}
	}
	s.stall = time.AfterFunc(standstill, func() { cancel(errStandstill) })
	return s, nil
}
