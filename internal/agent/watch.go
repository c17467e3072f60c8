package agent

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postlmtp/internal/delivery"
	"postlmtp/internal/lmtp"
	"postlmtp/internal/maillog"
	"postlmtp/internal/metrics"
	"postlmtp/internal/nexthop"
	"postlmtp/internal/request"
	"postlmtp/internal/status"
)

// watcher tells the status of this process what deliveries do.
type watcher struct{ process *status.Process }

// Begin implements delivery.Watcher.
func (w watcher) Begin(req *request.Request) delivery.Watch {
	return &watch{
		counters: w.process.Counters(destination(req)),
		flight: w.process.Begin(status.Delivery{
			QueueID:     req.QueueID,
			Destination: destination(req),
			Recipients:  len(req.Recipients),
			Size:        req.Size,
			Stage:       stageResolving,
		}),
	}
}

// destination is what a request is counted under: as the queue manager has it.
func destination(req *request.Request) string {
	const longest = 100
	return req.Nexthop[:min(len(req.Nexthop), longest)]
}

// watch follows one request. Durations are between the calls that begin and end
// something.
type watch struct {
	counters *metrics.Destination
	flight   *status.Flight

	stage                            lmtp.Stage
	connecting, connected, handshake time.Time
	mail, dot                        time.Time // of the transaction
}

func (w *watch) Connecting(ep nexthop.Endpoint) {
	w.connecting = time.Now()
	w.flight.Server(ep.Relay())
	w.flight.Stage(stageText(lmtp.StageConnect))
	w.stage = lmtp.StageConnect
}

func (w *watch) Connected() {
	w.connected = time.Now()
	w.counters.Connected(w.connected.Sub(w.connecting))
}

func (w *watch) Opened(state *tls.ConnectionState) {
	version := ""
	if state != nil {
		version = strings.ReplaceAll(tls.VersionName(state.Version), "TLS ", "TLSv")
	}
	w.counters.Opened(time.Since(w.connected), version)
}

func (w *watch) Leased(ep nexthop.Endpoint) {
	w.flight.Server(ep.Relay())
	w.stage = lmtp.StageConnect
	w.counters.Reused()
}

func (w *watch) Stale() { w.counters.Failed(metrics.Stale) }

// Stage is called for each reply that is waited for, and so returns at once if
// nothing is new.
func (w *watch) Stage(s lmtp.Stage) {
	if s == w.stage && s != lmtp.StageFinal {
		return
	}
	now := time.Now()
	if w.stage == lmtp.StageTLS {
		w.counters.Handshake(now.Sub(w.handshake))
	}
	switch s {
	case lmtp.StageTLS:
		w.handshake = now
	case lmtp.StageResetProbe, lmtp.StageXForwardNameAddr, lmtp.StageTrace, lmtp.StageMail:
		if !inEnvelope(w.stage) {
			w.mail = now
		}
	case lmtp.StageFinal:
		w.dot = now
	}
	w.stage = s
	w.flight.Stage(stageText(s))
}

// inEnvelope tells whether a transaction has begun that is not beyond MAIL FROM.
func inEnvelope(s lmtp.Stage) bool {
	return s >= lmtp.StageXForwardNameAddr && s <= lmtp.StageMail || s == lmtp.StageResetProbe
}

func (w *watch) Content(bytes int64) { w.counters.Content(bytes) }

// Final counts the time of each final reply from the end of the message.
func (w *watch) Final(settled bool) {
	if settled {
		w.counters.Final(time.Since(w.dot))
	}
}

func (w *watch) Done(recipients int) { w.counters.Transaction(recipients, time.Since(w.mail)) }

func (w *watch) Unconfirmed(recipients int) { w.counters.Unconfirmed(recipients) }

func (w *watch) Failed(t delivery.Trouble, err error) {
	if reason, is := reason(t, err); is {
		w.counters.Failed(reason)
	}
}

func (w *watch) End() { w.flight.End() }

// reason is what a failure counts as; a refusal of the message alone is none of
// the session.
func reason(t delivery.Trouble, err error) (metrics.Reason, bool) {
	var reply *lmtp.ReplyError
	var conn *lmtp.ConnError
	switch {
	case errors.As(err, &conn):
		switch {
		case conn.Cancelled:
			return metrics.Internal, true
		case conn.Timeout:
			return metrics.Timeout, true
		case errors.Is(err, lmtp.ErrDesync), errors.Is(err, lmtp.ErrReplyTooLong):
			return metrics.Protocol, true
		}
		return metrics.Lost, true
	case t == delivery.TroubleLookup:
		return metrics.Lookup, true
	case t == delivery.TroubleConnect:
		return connectReason(err), true
	case t == delivery.TroubleLogin:
		return metrics.Auth, true
	case t == delivery.TroubleTLS:
		return metrics.TLS, true
	case t == delivery.TroubleHello && errors.As(err, &reply):
		return metrics.Greeting, true
	case t == delivery.TroubleHello && !errors.As(err, new(*lmtp.LocalError)):
		return metrics.TLS, true // TLS from the first byte
	case errors.As(err, &reply):
		return 0, false
	}
	return metrics.Internal, true
}

// connectReason tells why there is no connection.
func connectReason(err error) metrics.Reason {
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return metrics.Refused
	case errors.Is(err, os.ErrNotExist):
		return metrics.Missing
	case errors.Is(err, os.ErrPermission):
		return metrics.Permission
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH):
		return metrics.Unreachable
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, unix.ETIMEDOUT):
		return metrics.ConnectTime
	}
	return metrics.Connect
}

// stageResolving is where a delivery begins.
const stageResolving = "resolving"

// stages lists what a delivery may be at.
func stages() []string {
	all := []string{stageResolving}
	for s := lmtp.StageConnect; s <= lmtp.StageQuit; s++ {
		if text := stageText(s); !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return all
}

// stageText names a stage for people and for metrics. Those of the envelope are
// one: with pipelining they are one flight.
func stageText(s lmtp.Stage) string {
	switch s {
	case lmtp.StageConnect:
		return "connecting"
	case lmtp.StageGreeting:
		return "greeting"
	case lmtp.StageLHLO, lmtp.StageXClient:
		return "lhlo"
	case lmtp.StageStartTLS, lmtp.StageTLS:
		return "tls"
	case lmtp.StageAuth:
		return "auth"
	case lmtp.StageResetProbe, lmtp.StageXForwardNameAddr, lmtp.StageXForwardProto, lmtp.StageTrace, lmtp.StageMail, lmtp.StageRcpt:
		return "envelope"
	case lmtp.StageData:
		return "data"
	case lmtp.StageBody:
		return "content"
	case lmtp.StageFinal:
		return "final"
	}
	return "goodbye"
}

// countDelivery counts the end of an attempt for one recipient, as the log has it.
func countDelivery(p *status.Process, req *request.Request, line maillog.DeliveryLine) {
	result := metrics.Verified
	switch line.Status {
	case "sent":
		result = metrics.Sent
	case "deferred":
		result = metrics.Deferred
	case "bounced":
		result = metrics.Bounced
	case "SOFTBOUNCE":
		result = metrics.SoftBounced
	}
	to := destination(req)
	p.Counters(to).Settled(result, line.DSN)
	if result != metrics.Sent && result != metrics.Verified {
		p.Failed(to, line.Text)
	}
}

// deliveryEvent is the line for programs.
func deliveryEvent(service string, req *request.Request, at request.Attempt, line maillog.DeliveryLine) maillog.DeliveryEvent {
	e := maillog.DeliveryEvent{
		DeliveryLine: line,
		Time:         time.Now(),
		Service:      service,
		Sender:       req.Sender,
		Nexthop:      req.Nexthop,
		Size:         req.Size,
		Unconfirmed:  at.Unconfirmed && line.Status != "sent",
	}
	if at.Connection != 0 {
		e.Connection = fmt.Sprintf("%d.%d", os.Getpid(), at.Connection)
	}
	return e
}
