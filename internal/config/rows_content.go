package config

func contentRows(c *Config) []*Param {
	return []*Param{
		yesno("disable_mime_output_conversion", &c.DisableMIMEOutputConversion, "no",
			"Never convert 8bit to 7bit").since("2.0"),
		number("mime_nesting_limit", &c.MIMENestingLimit, "100",
			"Nesting limit of the output MIME parser").min(1).since("2.0"),
		number("mime_boundary_length_limit", &c.MIMEBoundaryLengthLimit, "2048",
			"Boundary string truncation of the output MIME parser").min(1).since("2.0"),
		number("header_size_limit", &c.HeaderSizeLimit, "102400",
			"Largest header seen as one unit by MIME parser/checks/generic").min(1),
		number("header_address_token_limit", &c.HeaderAddressTokenLimit, "10240",
			"Token cap while parsing address headers for generic rewriting").min(1).notYet(),
		text("lmtp_header_checks", &c.LMTP.HeaderChecks, "",
			"Limited header checks on outgoing primary headers").since("2.5").notYet(),
		text("lmtp_mime_header_checks", &c.LMTP.MIMEHeaderChecks, "",
			"Same for MIME headers").since("2.5").notYet(),
		text("lmtp_nested_header_checks", &c.LMTP.NestedHeaderChecks, "",
			"Same for headers of attached messages").since("2.5").notYet(),
		text("lmtp_body_checks", &c.LMTP.BodyChecks, "",
			"Limited body checks, line by line").since("2.5").notYet(),
		text("lmtp_generic_maps", &c.LMTP.GenericMaps, "",
			"Outbound address rewriting in envelope and headers").since("2.3").notYet(),
		text("propagate_unmatched_extensions", &c.PropagateUnmatchedExtensions, "canonical, virtual",
			"Whether `generic` carries over the address extension (not by default)").notYet(),
	}
}
