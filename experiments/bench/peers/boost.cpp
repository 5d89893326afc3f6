// SPDX-License-Identifier: Apache-2.0
//
// Single-source shortest paths by the Boost Graph Library, as a peer of the
// benchmark: dijkstra_shortest_paths on a compressed sparse row graph, the
// library's fastest form. Reads an edge list (file named on the command line),
// then for each source on stdin answers "cpu-nanoseconds sum-of-distances".

#include <boost/graph/compressed_sparse_row_graph.hpp>
#include <boost/graph/dijkstra_shortest_paths.hpp>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <vector>

struct Link {
	uint32_t length;
};
using Graph = boost::compressed_sparse_row_graph<boost::directedS, boost::no_property, Link, boost::no_property, uint32_t, uint32_t>;

static int64_t cpu() {
	timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv) {
	FILE *in = argc == 2 ? fopen(argv[1], "r") : nullptr;
	if (!in) {
		fprintf(stderr, "usage: boost EDGES\n");
		return 2;
	}
	unsigned nodes;
	if (fscanf(in, "%u", &nodes) != 1)
		return 1;
	std::vector<std::pair<uint32_t, uint32_t>> ends;
	std::vector<Link> links;
	for (uint32_t u, v, l; fscanf(in, "%u %u %u", &u, &v, &l) == 3;) {
		ends.emplace_back(u, v);
		links.push_back({l});
		ends.emplace_back(v, u);
		links.push_back({l});
	}
	fclose(in);
	Graph g(boost::edges_are_unsorted_multi_pass, ends.begin(), ends.end(), links.begin(), nodes);
	std::vector<uint32_t> dist(nodes);
	for (unsigned source; scanf("%u", &source) == 1;) {
		int64_t start = cpu();
		boost::dijkstra_shortest_paths(g, source, boost::weight_map(boost::get(&Link::length, g))
			.distance_map(boost::make_iterator_property_map(dist.begin(), boost::get(boost::vertex_index, g))));
		int64_t took = cpu() - start;
		uint64_t sum = 0;
		for (uint32_t d : dist)
			sum += d;
		printf("%lld %llu\n", (long long)took, (unsigned long long)sum);
		fflush(stdout);
	}
	return 0;
}
