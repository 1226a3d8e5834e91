package myvalue

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
)

// charsets maps MySQL's character sets to what the reference reads them with.
// Those that Java lacks are read as windows-1252 there, lossy or not.
var charsets = map[string]encoding.Encoding{
	"latin1": charmap.Windows1252, "ucs2": unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM),
	"utf16": unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), "utf16le": unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM),
	"utf32": utf32.UTF32(utf32.BigEndian, utf32.IgnoreBOM), "binary": charmap.ISO8859_1,
	"gbk": simplifiedchinese.GBK, "gb2312": simplifiedchinese.GBK, "gb18030": simplifiedchinese.GB18030,
	"big5": traditionalchinese.Big5, "sjis": japanese.ShiftJIS, "cp932": japanese.ShiftJIS, "ujis": japanese.EUCJP, "eucjpms": japanese.EUCJP,
	"euckr": korean.EUCKR, "latin2": charmap.ISO8859_2, "latin5": charmap.ISO8859_9, "latin7": charmap.ISO8859_13,
	"greek": charmap.ISO8859_7, "hebrew": charmap.ISO8859_8, "cp850": charmap.CodePage850, "cp852": charmap.CodePage852, "cp866": charmap.CodePage866,
	"cp1250": charmap.Windows1250, "cp1251": charmap.Windows1251, "cp1256": charmap.Windows1256, "cp1257": charmap.Windows1257,
	"koi8r": charmap.KOI8R, "koi8u": charmap.KOI8R, "keybcs2": charmap.CodePage852, "macroman": charmap.Macintosh,
	"tis620": charmap.Windows874, "swe7": charmap.Windows1252, "hp8": charmap.Windows1252, "dec8": charmap.Windows1252,
	"armscii8": charmap.Windows1252, "geostd8": charmap.Windows1252,
}

// decoder returns how to append text of a character set as UTF-8; nil: it is
// UTF-8 (or ASCII, or unknown) already and only needs repair.
func decoder(charset string) func(dst, p []byte) []byte {
	if strings.EqualFold(charset, "macce") {
		return appendMacCE
	}
	enc := charsets[strings.ToLower(charset)]
	if enc == nil {
		return appendUTF8
	}
	if cm, ok := enc.(*charmap.Charmap); ok {
		hole := [256]bool{}
		if cm == charmap.Windows1252 {
			// Java's windows-1252 leaves these undefined; Go's table has C1 controls.
			for _, c := range []byte{0x81, 0x8d, 0x8f, 0x90, 0x9d} {
				hole[c] = true
			}
		}
		return func(dst, p []byte) []byte {
			for _, c := range p {
				if hole[c] {
					dst = utf8.AppendRune(dst, utf8.RuneError)
					continue
				}
				dst = utf8.AppendRune(dst, cm.DecodeByte(c))
			}
			return dst
		}
	}
	return func(dst, p []byte) []byte {
		out, err := enc.NewDecoder().Bytes(p)
		if err != nil {
			return appendUTF8(dst, p)
		}
		return append(dst, out...)
	}
}

// appendUTF8 appends text with every malformed byte replaced by U+FFFD.
func appendUTF8(dst, p []byte) []byte {
	if utf8.Valid(p) {
		return append(dst, p...)
	}
	for len(p) > 0 {
		r, n := utf8.DecodeRune(p)
		dst = utf8.AppendRune(dst, r)
		p = p[n:]
	}
	return dst
}

// macCentralEurope is the upper half of Mac OS Central European, which
// golang.org/x/text lacks.
var macCentralEurope = []rune("ÄĀāÉĄÖÜáąČäčĆćéŹźĎíďĒēĖóėôöõúĚěü†°Ę£§•¶ß®©™ę¨≠ģĮįĪ≤≥īĶ∂∑łĻļĽľĹĺŅņŃ¬√ńŇ∆«»… ňŐÕőŌ–—“”‘’÷◊ōŔŕŘ‹›řŖŗŠ‚„šŚśÁŤťÍŽžŪÓÔūŮÚůŰűŲųÝýķŻŁżĢˇ")

func appendMacCE(dst, p []byte) []byte {
	for _, c := range p {
		if c < 0x80 {
			dst = append(dst, c)
		} else {
			dst = utf8.AppendRune(dst, macCentralEurope[c-0x80])
		}
	}
	return dst
}
