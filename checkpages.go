package main

import "net"

// checkPages says who may see the pages.
func (c *checkup) checkPages() []row {
	const (
		what = "who may see the pages"
		who  = "who has the token"
	)
	web := c.cfg.Web
	host, _, err := net.SplitHostPort(web.Listen)
	switch {
	case web.Listen == "":
		return []row{{what, isInfo, "nobody: there are none, and so nothing that explain could ask (web.listen is empty)"}}
	case err != nil || misplaced(web.TokenFile):
		return []row{{what, isSkipped, mendFirst}}
	case web.TokenFile != "" && c.isElsewhere(web.TokenFile):
		return []row{{what, isInfo, who + "; its file is not here and was not looked at: check it where the daemon runs"}}
	case web.TokenFile == "" && isLoopback(host):
		return []row{{what, isOK, "who reaches loopback where the daemon runs, as by kubectl port-forward"}}
	case web.TokenFile == "":
		return []row{{what, isWarning, "anybody who reaches their address: set web.tokenFile to let in nobody without the token"}}
	}
	if _, err := readPagesToken(web.TokenFile); err != nil {
		return mistakes(what, err)
	}
	return []row{{what, isOK, who}}
}
