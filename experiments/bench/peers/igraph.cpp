// SPDX-License-Identifier: Apache-2.0
//
// Single-source shortest paths by igraph, as a peer of the benchmark; the same
// conversation as boost.cpp.

#include <cstdint>
#include <cstdio>
#include <ctime>
#include <igraph/igraph.h>
#include <vector>

static int64_t cpu() {
	timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv) {
	FILE *in = argc == 2 ? fopen(argv[1], "r") : nullptr;
	if (!in) {
		fprintf(stderr, "usage: igraph EDGES\n");
		return 2;
	}
	unsigned nodes;
	if (fscanf(in, "%u", &nodes) != 1)
		return 1;
	igraph_vector_int_t ends;
	igraph_vector_t lengths;
	igraph_vector_int_init(&ends, 0);
	igraph_vector_init(&lengths, 0);
	for (uint32_t u, v, l; fscanf(in, "%u %u %u", &u, &v, &l) == 3;) {
		igraph_vector_int_push_back(&ends, u);
		igraph_vector_int_push_back(&ends, v);
		igraph_vector_push_back(&lengths, l);
	}
	fclose(in);
	igraph_t g;
	igraph_create(&g, &ends, nodes, IGRAPH_UNDIRECTED);
	igraph_matrix_t dist;
	igraph_matrix_init(&dist, 0, 0);
	for (unsigned source; scanf("%u", &source) == 1;) {
		int64_t start = cpu();
		igraph_distances_dijkstra(&g, &dist, igraph_vss_1(source), igraph_vss_all(), &lengths, IGRAPH_ALL);
		int64_t took = cpu() - start;
		double sum = 0;
		for (unsigned u = 0; u < nodes; u++)
			sum += MATRIX(dist, 0, u);
		printf("%lld %.0f\n", (long long)took, sum);
		fflush(stdout);
	}
	return 0;
}
