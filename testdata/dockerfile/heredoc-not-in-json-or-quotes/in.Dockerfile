FROM base
RUN ["<<EOF"]
RUN echo "<<EOF" '<<EOF'
USER <<EOF
