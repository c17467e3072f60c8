package config

func contentRows(c *Config) []*Param {
	return []*Param{
		yesno("disable_mime_output_conversion", &c.DisableMIMEOutputConversion, "no",
			"Never convert 8-bit text to 7-bit for servers without 8BITMIME").since("2.0"),
		number("mime_nesting_limit", &c.MIMENestingLimit, "100",
			"Levels of nested parts that conversion looks into").min(1).since("2.0"),
		number("mime_boundary_length_limit", &c.MIMEBoundaryLengthLimit, "2048",
			"Bytes of a boundary that conversion looks at").min(1).since("2.0"),
		number("header_size_limit", &c.HeaderSizeLimit, "102400",
			"Bytes of a header line that are seen as one").min(1),
		number("header_address_token_limit", &c.HeaderAddressTokenLimit, "10240",
			"Words in an address header that are rewritten").min(1).noEffect(),
		text("lmtp_header_checks", &c.LMTP.HeaderChecks, "",
			"Tables for header lines of messages").since("2.5"),
		text("lmtp_mime_header_checks", &c.LMTP.MIMEHeaderChecks, "",
			"Tables for header lines of MIME parts").since("2.5"),
		text("lmtp_nested_header_checks", &c.LMTP.NestedHeaderChecks, "",
			"Tables for header lines of attached messages").since("2.5"),
		text("lmtp_body_checks", &c.LMTP.BodyChecks, "",
			"Tables for lines of the body").since("2.5"),
		text("lmtp_generic_maps", &c.LMTP.GenericMaps, "",
			"Tables that rewrite addresses in envelope and headers").since("2.3"),
		text("propagate_unmatched_extensions", &c.PropagateUnmatchedExtensions, "canonical, virtual",
			"Kinds of tables that keep the extension of an address"),
	}
}
