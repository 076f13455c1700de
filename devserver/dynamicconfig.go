package main

import (
	"time"

	"go.temporal.io/server/common/dynamicconfig"
)

// unthrottled is more than a small machine can do. So only the machine, and
// Keywave's own pace, set a limit.
const unthrottled = 100_000

// dynamicConfig are the settings that differ from the server's defaults.
func dynamicConfig() dynamicconfig.StaticClient {
	c := dynamicconfig.StaticClient{
		// Each queue has one partition, because priority works only within a
		// partition, and a queue's rate limit is divided by their number.
		dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
		dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,
		dynamicconfig.MatchingUseNewMatcher.Key():               true, // knows priority

		// A worker that is told to stop hands its polls back. Otherwise a task that
		// the server gave to such a poll would be lost until it times out: a
		// workflow task for 10 s.
		dynamicconfig.EnableCancelWorkerPollsOnShutdown.Key(): true,

		// A search attribute can be used only some time after it was added. Reading
		// them again in each call instead took a twentieth of the CPU time.
		dynamicconfig.NamespaceCacheRefreshInterval.Key(): time.Second,

		// A timer is late by up to this, because a shard reads the timers of so long ahead
		// at once. The default is a second, for servers whose clocks differ; here is one
		// clock, and half a second without an answer is to be half a second.
		dynamicconfig.TimerProcessorMaxTimeShift.Key(): 100 * time.Millisecond,

		// No calls to the outside.
		dynamicconfig.EnableServerVersionCheck.Key(): false,

		// Things that a single process does not need. A history is not decoded and
		// encoded again for the next service, payloads are not searched for parts
		// that are stored elsewhere, and no health signals are collected.
		dynamicconfig.SendRawHistoryBetweenInternalServices.Key():     true,
		dynamicconfig.SendRawHistoryBytesToMatchingService.Key():      true,
		dynamicconfig.ExternalPayloadsEnabled.Key():                   false,
		dynamicconfig.PersistenceHealthSignalMetricsEnabled.Key():     false,
		dynamicconfig.PersistenceHealthSignalAggregationEnabled.Key(): false,
		dynamicconfig.HistoryHealthSignalMetricsEnabled.Key():         false,

		// The default, 128,000 workflows in memory, is for bigger machines. A campaign
		// works on a window of zones, and never comes back to one that has ended.
		dynamicconfig.HistoryCacheHostLevelMaxSize.Key(): 1024,
	}
	for _, limit := range []dynamicconfig.Key{
		dynamicconfig.FrontendRPS.Key(),
		dynamicconfig.FrontendMaxNamespaceRPSPerInstance.Key(),
		dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key(),
		// "Replication inducing" includes UpdateTaskQueueConfig, which the brake
		// uses.
		dynamicconfig.FrontendNamespaceReplicationInducingAPIsRPS.Key(),
		dynamicconfig.FrontendMaxNamespaceNamespaceReplicationInducingAPIsRPSPerInstance.Key(),
		dynamicconfig.FrontendGlobalNamespaceNamespaceReplicationInducingAPIsRPS.Key(),
		dynamicconfig.FrontendMaxConcurrentLongRunningRequestsPerInstance.Key(),
		dynamicconfig.FrontendPersistenceMaxQPS.Key(),
		dynamicconfig.HistoryRPS.Key(),
		dynamicconfig.HistoryPersistenceMaxQPS.Key(),
		// By default a shard reads its queues 20 times a second, which adds up to
		// 50 ms to every step of every workflow: with one shard, three activities
		// in a row take 0.35 s instead of 0.03 s.
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
