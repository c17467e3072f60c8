package agent

import (
	"fmt"
	"slices"
	"strings"

	"postlmtp/internal/delivery"
	"postlmtp/internal/ipc"
	"postlmtp/internal/maillog"
	"postlmtp/internal/notice"
)

// notices says which transcripts go to the postmaster; nil for none.
func (s *settings) notices(log *maillog.Logger) (*delivery.Notices, error) {
	obsolete := strings.EqualFold(s.HeaderFromFormat, "obsolete")
	if !obsolete && !strings.EqualFold(s.HeaderFromFormat, "standard") {
		return nil, fmt.Errorf("invalid setting: \"header_from_format = %s\"", s.HeaderFromFormat)
	}
	n := &delivery.Notices{Never: s.DoubleBounceSender + "@" + s.MyHostname}
	known := []string{"bounce", "2bounce", "delay", "policy", "resource", "software"}
	for _, word := range strings.FieldsFunc(s.NotifyClasses, isListSeparator) {
		switch {
		case word == "protocol":
			n.Protocol = true
		case word == "data":
			n.Data = true
		case !slices.Contains(known, word):
			// Postfix's agent ends at the end of each session.
			log.Warningf("unknown notify_classes value \"%s\" in \"%s\"", word, s.NotifyClasses)
		}
	}
	if !n.Protocol && !n.Data {
		return nil, nil
	}
	n.Post = notice.New(notice.Options{
		Service:    ipc.Service{Class: "public", Name: s.CleanupServiceName, Protocol: ipc.MailCleanup},
		Timeout:    s.IPCTimeout,
		Flags:      notice.Flags(s.InternalMailFilterClasses, s.SMTPUTF8AutodetectClasses),
		Sender:     n.Never,
		Recipient:  s.ErrorNoticeRecipient,
		MyHostname: s.MyHostname,
		MailName:   s.MailName,
		Obsolete:   obsolete || !s.release.AtLeast(3, 7), // before, such mail did not heed the setting
		UTF8:       s.SMTPUTF8Enable,
		Log:        log,
	}).Post
	return n, nil
}
