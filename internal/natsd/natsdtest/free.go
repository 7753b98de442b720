package natsdtest

// FreeTier returns the limits of a free account of the hosted service, as its price list states
// them.
func FreeTier() Limits {
	return Limits{
		MaxStore: 5 << 30, MaxStreams: 10, MaxConsumers: 100, MaxConnections: 10, MaxSubscriptions: 100, MaxPayload: 1 << 20, MaxBytesRequired: true,
	}
}
