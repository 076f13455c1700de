package main

import (
	"time"

	"go.temporal.io/server/common/dynamicconfig"
)

// unthrottled is more than one small machine can do: here the machine is the
// limit, and Keywave's own pace.
const unthrottled = 100_000

// dynamicConfig is what differs from the server's defaults.
func dynamicConfig() dynamicconfig.StaticClient {
	c := dynamicconfig.StaticClient{
		// One partition per queue: priority holds only within a partition, and
		// a queue's rate limit is divided by their number.
		dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
		dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,
		dynamicconfig.MatchingUseNewMatcher.Key():               true, // knows priority

		// A worker that is told to stop hands its polls back: a task that the server
		// gave to one of them would be lost until it times out, a workflow task for
		// 10 s.
		dynamicconfig.EnableCancelWorkerPollsOnShutdown.Key(): true,

		// A search attribute can be used soon after it was added. To read them
		// anew in each call instead was a twentieth of the CPU time.
		dynamicconfig.NamespaceCacheRefreshInterval.Key(): time.Second,

		// No call to the outside.
		dynamicconfig.EnableServerVersionCheck.Key(): false,

		// What one process needs not: a history is not decoded only to be encoded
		// again for the next service, payloads are not searched for some that
		// are stored elsewhere, and nobody reads the signals of health.
		dynamicconfig.SendRawHistoryBetweenInternalServices.Key():     true,
		dynamicconfig.SendRawHistoryBytesToMatchingService.Key():      true,
		dynamicconfig.ExternalPayloadsEnabled.Key():                   false,
		dynamicconfig.PersistenceHealthSignalMetricsEnabled.Key():     false,
		dynamicconfig.PersistenceHealthSignalAggregationEnabled.Key(): false,
		dynamicconfig.HistoryHealthSignalMetricsEnabled.Key():         false,

		// The default, 128,000 workflows in memory, is for bigger machines.
		dynamicconfig.HistoryCacheHostLevelMaxSize.Key(): 8192,
	}
	for _, limit := range []dynamicconfig.Key{
		dynamicconfig.FrontendRPS.Key(),
		dynamicconfig.FrontendMaxNamespaceRPSPerInstance.Key(),
		dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key(),
		// "Replication inducing" is also UpdateTaskQueueConfig, the brake.
		dynamicconfig.FrontendNamespaceReplicationInducingAPIsRPS.Key(),
		dynamicconfig.FrontendMaxNamespaceNamespaceReplicationInducingAPIsRPSPerInstance.Key(),
		dynamicconfig.FrontendGlobalNamespaceNamespaceReplicationInducingAPIsRPS.Key(),
		dynamicconfig.FrontendMaxConcurrentLongRunningRequestsPerInstance.Key(),
		dynamicconfig.FrontendPersistenceMaxQPS.Key(),
		dynamicconfig.HistoryRPS.Key(),
		dynamicconfig.HistoryPersistenceMaxQPS.Key(),
		// A shard looks at its queues 20 times a second by default, which adds
		// up to 50 ms to every step of every workflow: with one shard that is
		// 0.35 s instead of 0.03 s for three activities in a row.
		dynamicconfig.TransferProcessorMaxPollRPS.Key(),
		dynamicconfig.TimerProcessorMaxPollRPS.Key(),
		dynamicconfig.VisibilityProcessorMaxPollRPS.Key(),
		dynamicconfig.MatchingRPS.Key(),
		dynamicconfig.MatchingPersistenceMaxQPS.Key(),
		dynamicconfig.WorkerPersistenceMaxQPS.Key(),
		dynamicconfig.VisibilityPersistenceMaxReadQPS.Key(),
		dynamicconfig.VisibilityPersistenceMaxWriteQPS.Key(),
	} {
		c[limit] = unthrottled
	}
	return c
}
