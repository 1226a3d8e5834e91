package pgoutput

type tablePlans struct{}
