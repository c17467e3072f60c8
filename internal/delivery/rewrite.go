package delivery

import (
	"context"
	"errors"

	"postlmtp/internal/content"
	"postlmtp/internal/dsn"
	"postlmtp/internal/generic"
	"postlmtp/internal/lmtp"
	"postlmtp/internal/queuefile"
)

// mapped is an address of the envelope as it goes out (lmtp_generic_maps).
func (j *job) mapped(ctx context.Context, addr string) (string, error) {
	if j.d.opt.Generic == nil {
		return addr, nil
	}
	mapped, _, err := j.d.opt.Generic.Apply(ctx, addr)
	return mapped, err
}

// mapFailed is the failure of a message with an address that cannot be mapped.
// Postfix's agent ends here: so do all its deliveries, for as long as the table
// cannot tell. Here the mail is deferred, like that with any other table.
func (j *job) mapFailed(err error, reason string) Failure {
	j.d.opt.Log.Warningf("%s: %v", j.req.QueueID, err)
	return Failure{Scope: Site, Diagnosis: dsn.Diagnosis{Status: statusLocalData, Reason: reason}}
}

// contentOptions say how the content is sent.
func (x *transfer) contentOptions(ctx context.Context, t *lmtp.Transaction) (content.Options, error) {
	j, opt := x.j, &x.j.d.opt
	o := content.Options{
		LineLimit: opt.LineLengthLimit,
		Downgrade: t.Downgrade,
		Dots:      t.Chunks != nil,
		MIME:      opt.MIME,
		Log:       opt.Log,
		QueueID:   j.req.QueueID,
	}
	if !opt.QuietFolds {
		o.OnFold = func() {
			opt.Log.Infof("%s: breaking line > %d bytes with <CR><LF>SPACE", j.req.QueueID, opt.LineLengthLimit)
		}
	}
	if opt.Checks != nil {
		o.Checks = opt.Checks(ctx)
	}
	if opt.Generic != nil {
		o.Generic = func(addr string) (string, bool, error) { return opt.Generic.ApplyHeader(ctx, addr) }
	}
	var err error
	o.Prepend, err = j.prepend(ctx)
	return o, err
}

// localData tells whether an error is Postfix's trouble class "data": one of
// our tables cannot tell.
func localData(err error) bool {
	var mapping *generic.Error
	var local *lmtp.LocalError
	if errors.As(err, &mapping) {
		return true
	}
	return errors.As(err, &local) && !errors.As(err, new(*content.BadRecordError)) &&
		!errors.As(err, new(*content.MIMEError)) && !errors.As(err, new(*queuefile.ReadError))
}
