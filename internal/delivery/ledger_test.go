package delivery

import (
	"errors"
	"slices"
	"testing"

	"postlmtp/internal/dsn"
	"postlmtp/internal/request"
)

type marks struct {
	offsets []int64
	err     error
}

func (m *marks) MarkDone(offset int64) error {
	m.offsets = append(m.offsets, offset)
	return m.err
}

func TestLedgerMarks(t *testing.T) {
	tests := []struct {
		name       string
		flags      request.Flags
		outcome    Outcome
		settlement Settlement
		markErr    error
		marked     bool
		unfinished bool
	}{
		{"sent", request.MarkDone, Sent, Settlement{Final: true, Sent: true}, nil, true, false},
		{"sent, no marks wanted", 0, Sent, Settlement{Final: true, Sent: true}, nil, false, false},
		{"probe, verify down", request.MarkDone | request.MTAVerify, Sent, Settlement{}, nil, false, true},
		{"bounced", 0, Bounced, Settlement{Final: true}, nil, true, false},
		{"soft bounce", request.MarkDone, Bounced, Settlement{}, nil, false, true},
		{"deferred", request.MarkDone, Deferred, Settlement{}, nil, false, true},
		{"deferred, filtered to a bounce", 0, Deferred, Settlement{Final: true}, nil, true, false},
		{"mark fails", request.MarkDone, Sent, Settlement{Final: true, Sent: true}, errors.New("disk"), true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			m := &marks{err: tt.markErr}
			req := &request.Request{QueueID: "1ABC", Flags: tt.flags, Recipients: []request.Recipient{{Offset: 77, Address: "a"}}}
			l := newLedger(req, reports(tt.settlement), m, w)
			if !l.any() || !l.open(0) {
				t.Error("the recipient is not open at first")
			}
			l.settle(0, tt.outcome, request.Attempt{}, dsn.Diagnosis{})
			if marked := slices.Contains(m.offsets, 77); marked != tt.marked {
				t.Errorf("marked: %v", marked)
			}
			if l.unfinished != tt.unfinished {
				t.Errorf("unfinished: %v", l.unfinished)
			}
			if l.untold == tt.settlement.Final {
				t.Errorf("untold: %v", l.untold)
			}
			if l.any() || l.open(0) || len(l.left()) != 0 {
				t.Error("the recipient is still open")
			}
		})
	}
}

// TestLedgerOrder: a kill between mark and report leads neither to a second copy
// nor to a bounce that nobody gets.
func TestLedgerOrder(t *testing.T) {
	for outcome, want := range map[Outcome][]string{
		Sent:    {"mark", "report"},
		Bounced: {"report", "mark"},
	} {
		var got order
		req := &request.Request{Flags: request.MarkDone, Recipients: []request.Recipient{{Address: "a"}}}
		newLedger(req, &got, &got, newWorld(t)).settle(0, outcome, request.Attempt{}, dsn.Diagnosis{})
		if !slices.Equal(got, want) {
			t.Errorf("%v: %v", outcome, got)
		}
	}
}

// order is what a ledger did.
type order []string

func (o *order) MarkDone(int64) error { *o = append(*o, "mark"); return nil }

func (o *order) Report(*request.Request, request.Recipient, Outcome, request.Attempt, dsn.Diagnosis) Settlement {
	*o = append(*o, "report")
	return Settlement{Final: true}
}

type reports Settlement

func (r reports) Report(*request.Request, request.Recipient, Outcome, request.Attempt, dsn.Diagnosis) Settlement {
	return Settlement(r)
}

func TestLedgerSettlesOnce(t *testing.T) {
	req := &request.Request{QueueID: "1ABC", Recipients: []request.Recipient{{Address: "a"}, {Address: "a"}}}
	l := newLedger(req, reports{Final: true}, &marks{}, newWorld(t))
	l.settle(0, Sent, request.Attempt{}, dsn.Diagnosis{})
	if got := l.left(); !slices.Equal(got, []int{1}) {
		t.Errorf("left: %v; the same address twice is two recipients", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("settling twice did not panic")
		}
	}()
	l.settle(0, Bounced, request.Attempt{}, dsn.Diagnosis{})
}
