package emit

// Bound sets how many bytes may be read from the log and not yet be acknowledged,
// instead of Config.QueueBytes; a source calls it before it sends. Nothing changes
// for 0 and below.
func (p *Pipeline) Bound(bytes int) {
	if bytes <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cfg.QueueBytes = bytes
}
