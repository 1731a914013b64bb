package yamlx

import "net/url"

// AddressExpected is what [AddressProblem] holds an address against.
const AddressExpected = "https://HOST/PATH, or http://HOST/PATH"

// AddressProblem is what is wrong with text as an address that is called over HTTP,
// without a word of it: such addresses are often secrets themselves. "": nothing.
func AddressProblem(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "is no address"
	case u.Scheme != "https" && u.Scheme != "http":
		return "begins with neither https:// nor http://"
	case u.Hostname() == "":
		return "names no host"
	}
	return ""
}
