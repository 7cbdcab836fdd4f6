FROM base
ENV A tail\\
ENV B next
